//! The paths under which the server says how it is, and what the words behind
//! `?` ask of its page.
//!
//! They are there in every host, before any rule: a load balancer asks by
//! address, with any Host or none, and whoever looks after the server must not
//! have to know its sites. Who may see what is decided as for any other path.

use std::sync::Arc;

use super::site::Content;
use crate::config::{Access, Header, Http};
use crate::protocol::View;

/// What is under such a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The page, in whichever form.
    Page,
    /// The metrics.
    Metrics,
    /// Whether the server answers.
    Health,
    /// Whether new clients are welcome.
    Readiness,
}

/// A path, and what holds there.
pub(super) struct Place {
    /// Without a leading slash, as [`resolve`](super::target::resolve) writes it.
    pub(super) path: String,
    pub(super) content: Content,
    pub(super) access: Arc<Access>,
    /// Fields of every answer there.
    pub(super) headers: Vec<Header>,
}

/// The content that says that all is well.
pub(super) const HEALTHY: &str = "ok\n";

/// The type of that, and of what is said of readiness.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Nothing that is shown may bring anything along, or be shown within a page of
/// somebody else; the style stands in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

impl Report {
    /// Whether it is asked for again and again by machines that want a yes or a
    /// no: such a request is in no access log.
    pub(super) const fn is_probe(self) -> bool {
        match self {
            Self::Health | Self::Readiness => true,
            Self::Page | Self::Metrics => false,
        }
    }
}

/// The places that the configuration names.
pub(super) fn places(http: &Http) -> Vec<Place> {
    let Some(status) = &http.status else {
        return Vec::new();
    };
    let few = Arc::new(status.access.clone());
    let everybody = Arc::<Access>::default();
    let all = [
        (&status.page, Report::Page, &few),
        (&status.metrics, Report::Metrics, &few),
        (&status.health, Report::Health, &everybody),
        (&status.readiness, Report::Readiness, &everybody),
    ];
    all.into_iter()
        .filter_map(|(path, report, access)| {
            Some(Place {
                path: path.as_deref()?.trim_start_matches('/').to_owned(),
                content: Content::Report(report),
                access: Arc::clone(access),
                headers: headers(http, report),
            })
        })
        .collect()
}

/// What is configured for every answer, except where that is ours to say.
fn headers(http: &Http, report: Report) -> Vec<Header> {
    let policy = (!report.is_probe()).then_some([
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "no-referrer"),
    ]);
    let ours = [("X-Content-Type-Options", "nosniff")];
    let ours: Vec<Header> = ours
        .into_iter()
        .chain(policy.into_iter().flatten())
        .map(|(name, value)| Header {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect();
    let same = |one: &Header, other: &Header| one.name.eq_ignore_ascii_case(&other.name);
    let theirs = http.headers.iter();
    let theirs = theirs.filter(|theirs| !ours.iter().any(|ours| same(ours, theirs)));
    theirs.chain(&ours).cloned().collect()
}

/// What the query of the page asks for: words between `&`, of which those that
/// mean nothing are passed over, as Apache's page does. Of two forms the one
/// that is easier to read for a program is meant.
pub(super) fn view(query: Option<&[u8]>) -> View {
    let (mut auto, mut json, mut refresh) = (false, false, None);
    for word in query.unwrap_or_default().split(|&byte| byte == b'&') {
        match word {
            b"auto" => auto = true,
            b"json" => json = true,
            _ => refresh = word.strip_prefix(b"refresh=").and_then(seconds).or(refresh),
        }
    }
    match (json, auto) {
        (true, _) => View::Json,
        (false, true) => View::Auto,
        (false, false) => View::Page { refresh },
    }
}

/// 1 to 3600, in digits.
fn seconds(text: &[u8]) -> Option<u16> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok().filter(|count| (1..=3600).contains(count))
}

/// The media type of a view.
pub(super) const fn content_type(view: View) -> &'static str {
    match view {
        View::Page { .. } => "text/html; charset=utf-8",
        View::Auto => TEXT,
        View::Json => "application/json",
        // The version is that of the text format.
        View::Metrics => "text/plain; version=0.0.4; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let page = |refresh| View::Page { refresh };
        for (query, expected) in [
            (None, page(None)),
            (Some(""), page(None)),
            (Some("auto"), View::Auto),
            (Some("refresh=5&auto"), View::Auto),
            (Some("json"), View::Json),
            (Some("auto&json"), View::Json),
            (Some("refresh=5"), page(Some(5))),
            (Some("refresh=3600&x=y"), page(Some(3600))),
            (Some("refresh=0"), page(None)),
            (Some("refresh=3601"), page(None)),
            (Some("refresh=99999"), page(None)),
            (Some("refresh=+5"), page(None)),
            (Some("refresh=5;url=//evil.example"), page(None)),
            (Some("refresh="), page(None)),
            (Some("refresh"), page(None)),
            (Some("refresh=7&refresh=x"), page(Some(7))),
            (Some("Auto"), page(None)),
            (Some("auto=1"), page(None)),
            (Some("%61uto&\u{e4}"), page(None)),
        ] {
            assert_eq!(view(query.map(str::as_bytes)), expected, "{query:?}");
        }
    }
}
