//! Where an answer sends its client, and what goes along (RFC 9110 §15.4).

use super::head::Head;
use super::request::{Method, Request};
use super::url::{self, Url};

/// Why an answer that leads elsewhere cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Several Location fields that differ.
    #[error("it leads to more than one place")]
    Several,
    /// What it leads to is no address that can be asked.
    #[error(transparent)]
    Location(#[from] url::Mistake),
}

/// Where `answer` to `request` at `url` leads, and what is asked there; `None`
/// if it leads nowhere, as a 304 and whatever has no Location.
///
/// After 303 all but HEAD becomes GET; after 301 and 302 only POST does, as
/// browsers have it and RFC 9110 §15.4.2 admits; 307 and 308 change nothing. What
/// becomes GET loses its content, and the fields that described it (§15.4).
/// Another host, or another port, is told neither credentials nor cookies.
///
/// # Errors
/// Why it cannot be followed.
pub fn next(
    answer: &Head,
    request: &Request,
    url: &Url,
) -> Result<Option<(Url, Request)>, Mistake> {
    let status = answer.status();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut places = answer.values("location");
    let Some(place) = places.next() else {
        return Ok(None);
    };
    if places.any(|other| other != place) {
        return Err(Mistake::Several);
    }
    let target = url.resolve(place)?;
    let mut request = request.clone();
    let becomes_get = match status {
        303 => !request.method.is_head(),
        301 | 302 => request.method == Method::post(),
        _ => false,
    };
    if becomes_get {
        request.method = Method::get();
        request = request.without_content();
    }
    if !url.is_same_origin(&target) {
        request = request.without_secrets();
    }
    if let Some(credentials) = target.credentials() {
        request.credentials = Some(credentials.to_owned());
    }
    Ok(Some((target, request)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::request::{Content, Field};
    use super::*;

    fn post() -> Request {
        Request {
            method: Method::post(),
            fields: vec![Field::parse("Authorization: x").unwrap()],
            range: None,
            compressed: false,
            credentials: Some(String::from("u:p")),
            content: Some(Content {
                octets: b"x".to_vec(),
                kind: "text/plain",
            }),
        }
    }

    fn follow(
        status: u16,
        fields: &str,
        request: &Request,
    ) -> Result<Option<(Url, Request)>, Mistake> {
        let head = Head::of(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n"));
        next(&head, request, &Url::parse("http://a/d/e").unwrap())
    }

    #[test]
    fn methods_change_as_the_status_says() {
        let mut put = post();
        put.method = Method::parse("PUT").unwrap();
        let mut head = post();
        head.method = Method::head();
        for (status, request, expected) in [
            (301, &post(), "GET"),
            (302, &post(), "GET"),
            (303, &post(), "GET"),
            (307, &post(), "POST"),
            (308, &post(), "POST"),
            (301, &put, "PUT"),
            (302, &put, "PUT"),
            (303, &put, "GET"),
            (303, &head, "HEAD"),
        ] {
            let (url, next) = follow(status, "Location: f\r\n", request).unwrap().unwrap();
            assert_eq!(url.to_string(), "http://a/d/f");
            assert_eq!(next.method.name(), expected, "{status}");
            assert_eq!(next.content.is_none(), expected == "GET", "{status}");
        }
    }

    #[test]
    fn what_described_the_content_goes_with_it() {
        let mut request = post();
        let given = ["content-type: a/b", "Content-Language: en", "X-Content: x"];
        let given = given.map(|text| Field::parse(text).unwrap());
        request.fields = given.to_vec();
        for (status, kept) in [(303, &given[2..]), (307, &given[..])] {
            let (_, next) = follow(status, "Location: f\r\n", &request)
                .unwrap()
                .unwrap();
            assert_eq!(next.fields, kept, "{status}");
        }
    }

    #[test]
    fn secrets_stay_where_they_are_meant_for() {
        let same = follow(307, "Location: http://A:80/x\r\n", &post());
        assert_eq!(same.unwrap().unwrap().1, post());
        for place in ["http://b/", "http://a:81/"] {
            let fields = format!("Location: {place}\r\n");
            let (_, next) = follow(307, &fields, &post()).unwrap().unwrap();
            assert_eq!(next, post().without_secrets());
        }
        let (_, next) = follow(307, "Location: http://v:q@b/\r\n", &post())
            .unwrap()
            .unwrap();
        assert_eq!(next.credentials.as_deref(), Some("v:q"));
    }

    #[test]
    fn not_everything_leads_somewhere() {
        assert_eq!(follow(200, "Location: f\r\n", &post()), Ok(None));
        assert_eq!(follow(304, "Location: f\r\n", &post()), Ok(None));
        assert_eq!(follow(300, "Location: f\r\n", &post()), Ok(None));
        assert_eq!(follow(302, "", &post()), Ok(None));
        let twice = "Location: f\r\nLocation: g\r\n";
        assert_eq!(follow(302, twice, &post()), Err(Mistake::Several));
        assert!(follow(302, "Location: f\r\nlocation: f\r\n", &post()).is_ok());
        let tls = follow(302, "Location: https://a/\r\n", &post());
        assert!(matches!(tls, Err(Mistake::Location(url::Mistake::Tls(_)))));
    }
}
