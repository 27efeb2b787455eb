//! The request that is sent: its fields, checked and put together.
//!
//! Nothing that is given here can end a line or add one. What a server has to
//! be told beyond that is the user's affair: any field may be replaced or taken
//! away, Host included, but those that say where the content ends.

use super::url::Url;
use crate::protocol::http::wire::is_token;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The octets of a request's content, and of what kind they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// All of it.
    pub octets: Vec<u8>,
    /// The Content-Type, if no field says otherwise.
    pub kind: &'static str,
}

/// A method (RFC 9110 §9): a token, kept as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// GET.
    pub fn get() -> Self {
        Self(String::from("GET"))
    }

    /// HEAD.
    pub fn head() -> Self {
        Self(String::from("HEAD"))
    }

    /// POST.
    pub fn post() -> Self {
        Self(String::from("POST"))
    }

    /// Any method but CONNECT, after which no HTTP follows.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "CONNECT" {
            return Err(String::from("CONNECT asks for a tunnel, not for an answer"));
        }
        if !is_token(text.as_bytes()) {
            return Err(String::from(
                "a method of letters, such as PUT, was expected",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it is written.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether the answer has no content (RFC 9112 §6.3).
    pub fn is_head(&self) -> bool {
        self.0 == "HEAD"
    }

    /// Whether asking twice is no more than asking once, so that a request may
    /// be sent again when nobody knows what became of it (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.name(),
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        )
    }
}

/// A field that the user gives: `Name: value`, or `Name:` for none of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    value: String,
}

impl Field {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| String::from("`Name: value` was expected"))?;
        if !is_token(name.as_bytes()) {
            return Err(format!("`{}` is no name of a field", name.escape_default()));
        }
        if value.chars().any(|sign| sign.is_control() && sign != '\t') {
            return Err(String::from("a value has no control characters"));
        }
        for framing in ["Content-Length", "Transfer-Encoding"] {
            if name.eq_ignore_ascii_case(framing) {
                return Err(format!("{framing} is that of the content"));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.trim_matches([' ', '\t']).to_owned(),
        })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// What is asked for, wherever it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// What the user gives; the first of a name replaces what would be sent
    /// otherwise.
    pub fields: Vec<Field>,
    /// The Range that is asked for, as `bytes=0-99`.
    pub range: Option<String>,
    /// Whether content compressed with gzip is wanted.
    pub compressed: bool,
    /// `name:password` for the place that is asked.
    pub credentials: Option<String>,
    /// What is sent with it.
    pub content: Option<Content>,
}

impl Request {
    /// The head, as it is sent to `url`, up to the empty line.
    pub fn head(&self, url: &Url) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method.name(), url.target());
        // Host first (RFC 9110 §7.2).
        for (name, value) in self.defaults(url) {
            let given: Vec<&Field> = self.fields.iter().filter(|field| field.is(name)).collect();
            if given.is_empty() {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            for field in given {
                push(field, &mut text);
            }
        }
        let others = self.fields.iter().filter(|field| {
            let mut defaults = self.defaults(url).into_iter();
            !defaults.any(|(name, _)| field.is(name))
        });
        others.for_each(|field| push(field, &mut text));
        if let Some(content) = &self.content {
            text.push_str(&format!("Content-Length: {}\r\n", content.octets.len()));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Whether an answer of 206 is what was asked for.
    pub fn asks_for_part(&self) -> bool {
        self.range.is_some() || self.fields.iter().any(|field| field.is("Range"))
    }

    /// The same without its content, and without the user's fields that describe
    /// it, whose names all begin alike (RFC 9110 §15.4).
    #[must_use]
    pub fn without_content(mut self) -> Self {
        self.content = None;
        let describes = |field: &Field| {
            let begin = field.name.get(.."content-".len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case("content-"))
        };
        self.fields.retain(|field| !describes(field));
        self
    }

    /// The same for somebody else, who may not know what is meant for the one
    /// it was: no credentials, and no cookies.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        self.credentials = None;
        let secret = |field: &Field| {
            let names = ["Authorization", "Cookie", "Proxy-Authorization"];
            names.iter().any(|name| field.is(name))
        };
        // Nor the name of a host that is another one.
        self.fields
            .retain(|field| !secret(field) && !field.is("Host"));
        self
    }

    /// What is sent if the user says nothing of it, in this order.
    fn defaults(&self, url: &Url) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("Host", url.authority()),
            (
                "User-Agent",
                concat!("preforkd/", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            ("Accept", String::from("*/*")),
        ];
        if self.compressed {
            fields.push(("Accept-Encoding", String::from("gzip")));
        }
        if let Some(credentials) = &self.credentials {
            let value = format!("Basic {}", STANDARD.encode(credentials));
            fields.push(("Authorization", value));
        }
        if let Some(range) = &self.range {
            fields.push(("Range", range.clone()));
        }
        if let Some(content) = &self.content {
            fields.push(("Content-Type", content.kind.to_owned()));
        }
        fields
    }
}

/// A field without a value is none.
fn push(field: &Field, text: &mut String) {
    if !field.value.is_empty() {
        text.push_str(&format!("{}: {}\r\n", field.name, field.value));
    }
}

/// Checks what `--range` takes: one range of octets or several (RFC 9110
/// §14.1.1); answers the value of the Range field.
///
/// # Errors
/// What was expected.
pub fn range(text: &str) -> Result<String, String> {
    let is_right = |one: &str| {
        let Some((first, last)) = one.split_once('-') else {
            return false;
        };
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let value = |text: &str| text.parse::<u64>().ok();
        let some = !first.is_empty() || !last.is_empty();
        let fits = |text: &str| text.is_empty() || value(text).is_some();
        let in_order = first.is_empty() || last.is_empty() || value(first) <= value(last);
        some && number(first) && number(last) && fits(first) && fits(last) && in_order
    };
    if text.split(',').all(is_right) {
        Ok(format!("bytes={text}"))
    } else {
        Err(String::from(
            "`0-99`, `100-` or `-50` was expected, or several with commas",
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plain() -> Request {
        Request {
            method: Method::get(),
            fields: Vec::new(),
            range: None,
            compressed: false,
            credentials: None,
            content: None,
        }
    }

    fn head(request: &Request, url: &str) -> String {
        String::from_utf8(request.head(&Url::parse(url).unwrap())).unwrap()
    }

    #[test]
    fn a_plain_request() {
        let agent = concat!("User-Agent: preforkd/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            head(&plain(), "http://[::1]:81/x?y"),
            format!("GET /x?y HTTP/1.1\r\nHost: [::1]:81\r\n{agent}\r\nAccept: */*\r\n\r\n")
        );
    }

    #[test]
    fn fields_are_replaced_removed_and_added() {
        let mut request = plain();
        for field in ["host: b", "Accept:", "X-A: 1", "x-a:\t2 ", "User-Agent: é"] {
            request.fields.push(Field::parse(field).unwrap());
        }
        assert_eq!(
            head(&request, "a"),
            "GET / HTTP/1.1\r\nhost: b\r\nUser-Agent: é\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
        );
    }

    #[test]
    fn content_and_what_is_wanted_of_the_answer() {
        let mut request = plain();
        request.method = Method::post();
        request.credentials = Some(String::from("u:p"));
        request.compressed = true;
        request.range = Some(range("0-1,5-").unwrap());
        request.content = Some(Content {
            octets: b"a=b".to_vec(),
            kind: "text/plain",
        });
        let text = head(&request, "a");
        for line in [
            "POST / HTTP/1.1",
            "Authorization: Basic dTpw",
            "Accept-Encoding: gzip",
            "Range: bytes=0-1,5-",
            "Content-Type: text/plain",
            "Content-Length: 3",
        ] {
            assert!(text.contains(&format!("{line}\r\n")), "{line}: {text}");
        }
        request.fields.push(Field::parse("Cookie: c").unwrap());
        request.fields.push(Field::parse("Host: a").unwrap());
        request.fields.push(Field::parse("X: y").unwrap());
        let text = head(&request.without_secrets(), "b");
        assert!(
            !text.contains("Authorization") && !text.contains("Cookie"),
            "{text}"
        );
        assert!(
            text.contains("\r\nHost: b\r\n") && text.contains("\r\nX: y\r\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_given_can_end_a_line() {
        for wrong in [
            "X",
            ": y",
            "X : y",
            "X\r\nY: z",
            "X: y\r\nZ: z",
            "X: y\nZ",
            "X: \0",
            "X: \u{85}",
            "Content-Length: 5",
            "transfer-encoding: chunked",
        ] {
            assert!(Field::parse(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "GET /", "GE\r\nT", "CONNECT", "é"] {
            assert!(Method::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Method::parse("PURGE").unwrap().name(), "PURGE");
    }

    #[test]
    fn ranges() {
        for right in ["0-0", "5-", "-5", "0-1,4-5", "18446744073709551615-"] {
            assert!(range(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "-",
            "5",
            "5-2",
            "a-b",
            "0-1,",
            "+1-2",
            "0-1\r\n",
            "18446744073709551616-",
        ] {
            assert!(range(wrong).is_err(), "{wrong:?}");
        }
    }
}
