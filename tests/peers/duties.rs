//! What our answers owe to each request, whatever others do.

use super::requests::{Request, Value};
use super::wire::Answer;

/// What is wrong with an answer of ours, if anything is.
pub(crate) fn breach(request: &Request, answer: &Answer) -> Option<&'static str> {
    let has = |name| answer.field(name).is_some();
    let date = answer.field("date").map(httpdate::parse_http_date);
    let asks = |name: &str, word: &str| {
        request
            .values(name)
            .any(|value| matches!(value, Value::Text(text) if text.eq_ignore_ascii_case(word)))
    };
    let persists =
        !asks("connection", "close") && (!request.http_1_0 || asks("connection", "keep-alive"));
    let said = answer.field("connection").unwrap_or_default();
    match answer.status {
        _ if !matches!(date, Some(Ok(_))) => Some("RFC 9110 §6.6.1: no date"),
        405 if !has("allow") => Some("RFC 9110 §15.5.6: 405 without Allow"),
        416 if !has("content-range") => Some("RFC 9110 §15.5.17: 416 without Content-Range"),
        301 if answer.field("location").is_none_or(|to| !is_path(to)) => {
            Some("301 that leads to somebody else")
        }
        204 if has("content-length") => Some("RFC 9110 §8.6: 204 with a length"),
        200 | 206 | 304 if request.method == "GET" && !has("etag") => {
            Some("RFC 9110 §8.8.3: a file without its tag")
        }
        206 if answer.field("content-type").is_some_and(is_multipart) && has("content-range") => {
            Some("RFC 9110 §15.3.7.2: Content-Range outside of the parts")
        }
        _ if has("transfer-encoding") && request.http_1_0 => {
            Some("RFC 9112 §6.1: chunks for HTTP/1.0")
        }
        _ if !persists && !answer.closes() => Some("RFC 9112 §9.6: it does not say that it closes"),
        // Content that was announced and is not wanted is a reason, and so is a
        // method that might be no HTTP at all.
        _ if persists && answer.closes() && answer.status != 501 && !request.has("expect") => {
            Some("RFC 9112 §9.3: it closes without a reason")
        }
        _ if persists && request.http_1_0 && !said.eq_ignore_ascii_case("keep-alive") => {
            Some("RFC 9112 §9.3: HTTP/1.0 does not know that it stays")
        }
        _ if answer.interim > 0 && (request.http_1_0 || !request.has("expect")) => {
            Some("RFC 9110 §15.2: 1xx for nobody")
        }
        _ => None,
    }
}

/// A path of ours, which cannot be taken for another host.
fn is_path(location: &str) -> bool {
    location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\")
}

fn is_multipart(media: &str) -> bool {
    media.starts_with("multipart/")
}
