//! Accept (RFC 9110 §12.5.1), as far as we have a choice: HTML or JSON.

/// What the Accept fields of a request say about our two forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accept {
    said: bool,
    decides: bool,
    html: Weight,
    json: Weight,
}

/// The weight of a form, by the most specific range that fits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    /// 0: no range fits; 1: `*/*`, 2: `text/*`, 3: `text/html`.
    specific: u8,
    /// In thousandths.
    quality: u16,
}

impl Accept {
    /// Takes in one field value. An item that breaks the grammar says nothing.
    pub(super) fn add(&mut self, value: &[u8]) {
        for item in value.split(|&byte| byte == b',') {
            let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let range = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| match part {
                [b'q' | b'Q', b'=', weight @ ..] => Some(quality(weight)),
                [..] => None,
            });
            let Some(quality) = weight.unwrap_or(Some(1000)) else {
                continue;
            };
            if range.is_empty() {
                continue;
            }
            self.said = true;
            self.html.take(range, b"text/html", quality);
            self.json.take(range, b"application/json", quality);
        }
    }

    /// Takes note that the answer depends on these fields, so that it can tell
    /// caches (RFC 9110 §12.5.5).
    pub(super) const fn decide(&mut self) {
        self.decides = true;
    }

    /// Whether the answer depends on these fields.
    pub(super) const fn decides(self) -> bool {
        self.decides
    }

    /// JSON is wanted more than HTML. Without a word, and in a tie, it is not.
    pub(super) const fn prefers_json(self) -> bool {
        self.json.quality > self.html.quality
    }

    /// HTML is asked for by its name, as browsers do who go to a page; a script
    /// that takes anything does not mean a page.
    pub(super) const fn names_html(self) -> bool {
        self.html.specific >= 2 && self.html.quality > 0
    }
}

impl Weight {
    fn take(&mut self, range: &[u8], form: &[u8], quality: u16) {
        let kind = form.split(|&byte| byte == b'/').next().unwrap_or(form);
        let specific = if range.eq_ignore_ascii_case(form) {
            3
        } else if let [rest @ .., b'/', b'*'] = range
            && rest.eq_ignore_ascii_case(kind)
        {
            2
        } else if range == b"*/*" {
            1
        } else {
            return;
        };
        if specific > self.specific {
            *self = Self { specific, quality };
        } else if specific == self.specific {
            self.quality = self.quality.max(quality);
        }
    }
}

/// qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ), in thousandths
/// (RFC 9110 §12.4.2).
fn quality(text: &[u8]) -> Option<u16> {
    let (whole, digits) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] => (whole, digits),
        [..] => return None,
    };
    if digits.len() > 3 || !matches!(whole, b'0' | b'1') {
        return None;
    }
    let mut thousandths = u16::from(whole - b'0');
    for at in 0..3 {
        let digit = digits.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths = thousandths * 10 + u16::from(digit - b'0');
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(values: &[&str]) -> Accept {
        let mut accept = Accept::default();
        for value in values {
            accept.add(value.as_bytes());
        }
        accept
    }

    #[test]
    fn html_or_json() {
        for (values, json) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["text/html, application/json"], false),
            (&["application/json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["text/html;q=0.5, application/json;q=0.6"], true),
            (&["text/html;q=0.5", "application/json"], true),
            (&["application/*;q=0.9, */*;q=0.1"], true),
            (&["*/*, application/json;q=0"], false),
            (&["application/json;q=1.001"], false),
            (&["application/json;q=x"], false),
            (&["application/json ; q=0.001 ; x=y"], true),
            (&[",, application/json,,"], true),
            (&["image/png"], false),
        ] {
            assert_eq!(accept(values).prefers_json(), json, "{values:?}");
        }
    }

    #[test]
    fn a_page_is_asked_for_by_name() {
        for (value, named) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("text/*", true),
            ("*/*", false),
            ("text/html;q=0", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(accept(&[value]).names_html(), named, "{value}");
        }
    }

    #[test]
    fn weights() {
        for (text, thousandths) in [
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("0.5", Some(500)),
            ("0.", Some(0)),
            ("0", Some(0)),
            ("0.123", Some(123)),
            ("1.1", None),
            ("0.1234", None),
            ("2", None),
            (".5", None),
            ("", None),
            ("0.x", None),
        ] {
            assert_eq!(quality(text.as_bytes()), thousandths, "{text}");
        }
    }
}
