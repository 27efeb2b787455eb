//! The status codes we send, and refusals: a status with the rule behind it.
//!
//! A code belongs here when some answer of ours carries it, not before.

/// A final status (RFC 9110 §15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    NoContent,
    PartialContent,
    MovedPermanently,
    NotModified,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PreconditionFailed,
    ContentTooLarge,
    UriTooLong,
    RangeNotSatisfiable,
    ExpectationFailed,
    HeaderTooLarge,
    InternalError,
    NotImplemented,
    Unavailable,
    VersionNotSupported,
}

impl Status {
    /// The three digits.
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::NoContent => 204,
            Self::PartialContent => 206,
            Self::MovedPermanently => 301,
            Self::NotModified => 304,
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::PreconditionFailed => 412,
            Self::ContentTooLarge => 413,
            Self::UriTooLong => 414,
            Self::RangeNotSatisfiable => 416,
            Self::ExpectationFailed => 417,
            Self::HeaderTooLarge => 431,
            Self::InternalError => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
            Self::VersionNotSupported => 505,
        }
    }

    /// Digits and phrase, as they stand in the status line and in a title.
    pub(super) const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::NoContent => "204 No Content",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UriTooLong => "414 URI Too Long",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::HeaderTooLarge => "431 Request Header Fields Too Large",
            Self::InternalError => "500 Internal Server Error",
            Self::NotImplemented => "501 Not Implemented",
            Self::Unavailable => "503 Service Unavailable",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }

    /// A sentence for a person who reads the answer.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Ok | Self::NoContent | Self::PartialContent => "All is well.",
            Self::NotModified => "What the client has is current.",
            Self::MovedPermanently => "This is a directory; its address ends with a slash.",
            Self::BadRequest => "The request breaks a rule of HTTP.",
            Self::Forbidden => "This may not be read.",
            Self::NotFound => "There is nothing at this address.",
            Self::MethodNotAllowed => "This can be read, but nothing else.",
            Self::RequestTimeout => "The request did not arrive whole in time.",
            Self::PreconditionFailed => "A condition that the request makes does not hold.",
            Self::ContentTooLarge => "The request's content is larger than is accepted here.",
            Self::UriTooLong => "The request's target is longer than is accepted here.",
            Self::RangeNotSatisfiable => "No part that the request asks for is in the file.",
            Self::ExpectationFailed => "The only expectation that is understood is 100-continue.",
            Self::HeaderTooLarge => "The request's header section is too large.",
            Self::InternalError => "The server failed.",
            Self::NotImplemented => "The server does not know how to do this.",
            Self::Unavailable => "The server is out of resources; try again in a moment.",
            Self::VersionNotSupported => "This server speaks HTTP/1.1 and HTTP/1.0.",
        }
    }
}

/// A request that is not carried out because it breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What to answer.
    pub(super) status: Status,
    /// The rule, as the log names it: document, section, what it is about.
    pub(super) rule: &'static str,
}

impl Refusal {
    /// 400 for breaking `rule`.
    pub(super) const fn bad(rule: &'static str) -> Self {
        Self::new(Status::BadRequest, rule)
    }

    /// `status` for breaking `rule`.
    pub(super) const fn new(status: Status, rule: &'static str) -> Self {
        Self { status, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_their_code() {
        for status in [
            Status::Ok,
            Status::NoContent,
            Status::PartialContent,
            Status::NotModified,
            Status::PreconditionFailed,
            Status::RangeNotSatisfiable,
            Status::MovedPermanently,
            Status::BadRequest,
            Status::Forbidden,
            Status::NotFound,
            Status::MethodNotAllowed,
            Status::RequestTimeout,
            Status::ContentTooLarge,
            Status::UriTooLong,
            Status::ExpectationFailed,
            Status::HeaderTooLarge,
            Status::InternalError,
            Status::NotImplemented,
            Status::Unavailable,
            Status::VersionNotSupported,
        ] {
            assert!(status.line().starts_with(&format!("{} ", status.code())));
            assert!(status.sentence().ends_with('.'));
        }
    }
}
