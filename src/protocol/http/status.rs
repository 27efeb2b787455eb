//! The status codes we send, and refusals: a status with the rule behind it.
//!
//! A code belongs here when some answer of ours carries it, not before.

use super::clause::Clause;

/// A final status (RFC 9110 §15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    NoContent,
    PartialContent,
    MovedPermanently,
    Found,
    SeeOther,
    NotModified,
    TemporaryRedirect,
    PermanentRedirect,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Gone,
    PreconditionFailed,
    ContentTooLarge,
    UriTooLong,
    RangeNotSatisfiable,
    ExpectationFailed,
    Misdirected,
    HeaderTooLarge,
    LegalReasons,
    InternalError,
    NotImplemented,
    Unavailable,
    GatewayTimeout,
    VersionNotSupported,
    /// What a program chose, 200 to 599; its words stand in the answer.
    Scripted(u16),
}

impl Status {
    /// The three digits.
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::NoContent => 204,
            Self::PartialContent => 206,
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::NotModified => 304,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::ContentTooLarge => 413,
            Self::UriTooLong => 414,
            Self::RangeNotSatisfiable => 416,
            Self::ExpectationFailed => 417,
            Self::Misdirected => 421,
            Self::HeaderTooLarge => 431,
            Self::LegalReasons => 451,
            Self::InternalError => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
            Self::GatewayTimeout => 504,
            Self::VersionNotSupported => 505,
            Self::Scripted(code) => code,
        }
    }

    /// The status of these three digits, if it is one of ours.
    pub(super) fn of(code: u16) -> Option<Self> {
        ALL.iter().copied().find(|status| status.code() == code)
    }

    /// Digits and phrase, as they stand in the status line and in a title.
    pub(super) const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::NoContent => "204 No Content",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::Found => "302 Found",
            Self::SeeOther => "303 See Other",
            Self::NotModified => "304 Not Modified",
            Self::TemporaryRedirect => "307 Temporary Redirect",
            Self::PermanentRedirect => "308 Permanent Redirect",
            Self::BadRequest => "400 Bad Request",
            Self::Unauthorized => "401 Unauthorized",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::Gone => "410 Gone",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UriTooLong => "414 URI Too Long",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::Misdirected => "421 Misdirected Request",
            Self::HeaderTooLarge => "431 Request Header Fields Too Large",
            Self::LegalReasons => "451 Unavailable For Legal Reasons",
            Self::InternalError => "500 Internal Server Error",
            Self::NotImplemented => "501 Not Implemented",
            Self::Unavailable => "503 Service Unavailable",
            Self::GatewayTimeout => "504 Gateway Timeout",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
            Self::Scripted(_) => "",
        }
    }

    /// A sentence for a person who reads the answer.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Ok | Self::NoContent | Self::PartialContent => "All is well.",
            Self::MovedPermanently => "This is at another address from now on.",
            Self::Found => "This is at another address for now.",
            Self::SeeOther => "The answer is at another address.",
            Self::NotModified => "What the client has is current.",
            Self::TemporaryRedirect => "This is at another address for now.",
            Self::PermanentRedirect => "This is at another address from now on.",
            Self::BadRequest => "The request breaks a rule of HTTP.",
            Self::Unauthorized => "This is only for those who say a name and a password.",
            Self::Forbidden => "This may not be read.",
            Self::NotFound => "There is nothing at this address.",
            Self::MethodNotAllowed => "This can be read, but nothing else.",
            Self::RequestTimeout => "The request did not arrive whole in time.",
            Self::Gone => "There was something at this address; it will not come back.",
            Self::PreconditionFailed => "A condition that the request makes does not hold.",
            Self::ContentTooLarge => "The request's content is larger than is accepted here.",
            Self::UriTooLong => "The request's target is longer than is accepted here.",
            Self::RangeNotSatisfiable => "No part that the request asks for is in the file.",
            Self::ExpectationFailed => "The only expectation that is understood is 100-continue.",
            Self::Misdirected => "This host is not served here.",
            Self::HeaderTooLarge => "The request's header section is too large.",
            Self::LegalReasons => "This may not be shown, for legal reasons.",
            Self::InternalError => "The server failed.",
            Self::NotImplemented => "The server does not know how to do this.",
            Self::Unavailable => "The server is out of resources; try again in a moment.",
            Self::GatewayTimeout => "The program that answers here took too long.",
            Self::VersionNotSupported => "This server speaks HTTP/1.1 and HTTP/1.0.",
            Self::Scripted(_) => "",
        }
    }
}

/// Every status there is.
const ALL: &[Status] = &[
    Status::Ok,
    Status::NoContent,
    Status::PartialContent,
    Status::MovedPermanently,
    Status::Found,
    Status::SeeOther,
    Status::NotModified,
    Status::TemporaryRedirect,
    Status::PermanentRedirect,
    Status::BadRequest,
    Status::Unauthorized,
    Status::Forbidden,
    Status::NotFound,
    Status::MethodNotAllowed,
    Status::RequestTimeout,
    Status::Gone,
    Status::PreconditionFailed,
    Status::ContentTooLarge,
    Status::UriTooLong,
    Status::RangeNotSatisfiable,
    Status::ExpectationFailed,
    Status::Misdirected,
    Status::HeaderTooLarge,
    Status::LegalReasons,
    Status::InternalError,
    Status::NotImplemented,
    Status::Unavailable,
    Status::GatewayTimeout,
    Status::VersionNotSupported,
];

/// A request that is not carried out because it breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What to answer.
    pub(super) status: Status,
    /// The rule.
    pub(super) rule: Clause,
}

impl Refusal {
    /// 400 for breaking `rule`.
    pub(super) const fn bad(rule: Clause) -> Self {
        Self::new(Status::BadRequest, rule)
    }

    /// `status` for breaking `rule`.
    pub(super) const fn new(status: Status, rule: Clause) -> Self {
        Self { status, rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_their_code() {
        for status in ALL.iter().copied() {
            assert_eq!(Status::of(status.code()), Some(status));
            assert!(status.line().starts_with(&format!("{} ", status.code())));
            assert!(status.sentence().ends_with('.'));
        }
    }
}
