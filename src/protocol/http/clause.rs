//! The rules that a refusal names.
//!
//! Every refusal has one, and each stands here once: the clause that was
//! broken, as the error log, the access log and the page that the client gets
//! have it, and the rows of the service rules that it answers for.

/// A rule that a request may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// A `%` without two hexadecimal digits.
    PercentEncoding,
    /// Too many fields.
    FieldCount,
    /// The header section is too large.
    HeaderSize,
    /// The trailer section is too large.
    TrailerSize,
    /// An expectation other than 100-continue.
    Expectation,
    /// Of two credentials one might be checked and the other believed.
    AuthorizationRepeated,
    /// The content is longer than is accepted.
    ContentLength,
    /// The head of a request did not arrive in time.
    Timeout,
    /// Content has stopped coming.
    BodyTimeout,
    /// Content comes too slowly.
    BodyRate,
    /// Another major version than 1.
    MajorVersion,
    /// NUL, CR or LF in a path, percent-encoded.
    EncodedControl,
    /// An absolute-form whose authority is none.
    TargetAuthority,
    /// A control character in a value.
    FieldValue,
    /// Transfer-Encoding is a list with nothing, or too much, in it.
    CodingList,
    /// A method that nobody knows.
    Method,
    /// CR without LF.
    BareCr,
    /// LF without CR.
    BareLf,
    /// White space before the first field.
    LeadingSpace,
    /// What stands for the version is none.
    Version,
    /// A request line without a version, as of HTTP/0.9.
    VersionMissing,
    /// What stands for the method is no token, or an endless one.
    MethodToken,
    /// Not method, target and version with one space between them.
    RequestLine,
    /// The target is too long.
    TargetLength,
    /// Host is no authority.
    Host,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// More than one Host.
    HostRepeated,
    /// The target has none of the four forms.
    TargetForm,
    /// An octet in the target that no URI has.
    TargetOctets,
    /// The target of CONNECT is not host and port.
    AuthorityForm,
    /// `*` for another method than OPTIONS.
    AsteriskForm,
    /// A line without a colon.
    FieldLine,
    /// A field name that is no token.
    FieldName,
    /// White space between a field name and its colon.
    SpaceBeforeColon,
    /// A field line that goes on in the next line.
    ObsFold,
    /// Content-Length beside Transfer-Encoding.
    LengthBesideCoding,
    /// A transfer coding that is not implemented.
    UnknownCoding,
    /// Transfer-Encoding from HTTP/1.0.
    CodingIn10,
    /// More than one Transfer-Encoding.
    CodingRepeated,
    /// Content-Length is no number.
    Length,
    /// More than one Content-Length.
    LengthRepeated,
    /// `chunked` is not the last transfer coding.
    LastCoding,
    /// A line of a chunk, or its data, ends otherwise than by CRLF.
    ChunkEnd,
    /// The size of a chunk is none, or too large.
    ChunkSize,
    /// An extension of a chunk has an octet that none has.
    ChunkExtension,
    /// The extensions of chunks are too long.
    ChunkExtensionLength,
    /// A trailer line that is no field line.
    Trailer,
    /// A bound of our own: on content that waits for programs.
    ProgramContent,
}

impl Clause {
    /// Document, section, and what it is about.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PercentEncoding => "rfc3986-2.1 percent-encoding",
            Self::FieldCount => "rfc6585-5 field count",
            Self::HeaderSize => "rfc6585-5 header section size",
            Self::TrailerSize => "rfc6585-5 trailer size",
            Self::Expectation => "rfc9110-10.1.1 expectation",
            Self::AuthorizationRepeated => "rfc9110-11.6.2 authorization repeated",
            Self::ContentLength => "rfc9110-15.5.14 content length",
            Self::Timeout => "rfc9110-15.5.9 request timeout",
            Self::BodyTimeout => "rfc9110-15.5.9 body timeout",
            Self::BodyRate => "rfc9110-15.5.9 body rate",
            Self::MajorVersion => "rfc9110-15.6.6 version",
            Self::EncodedControl => "rfc9110-17.3 encoded control character",
            Self::TargetAuthority => "rfc9110-4.2.1 authority",
            Self::FieldValue => "rfc9110-5.5 field-value",
            Self::CodingList => "rfc9110-5.6.1 transfer-encoding list",
            Self::Method => "rfc9110-9.1 method",
            Self::BareCr => "rfc9112-2.2 bare CR",
            Self::BareLf => "rfc9112-2.2 bare LF",
            Self::LeadingSpace => "rfc9112-2.2 white space before the first field",
            Self::Version => "rfc9112-2.3 HTTP-version",
            Self::VersionMissing => "rfc9112-2.3 HTTP-version missing",
            Self::MethodToken => "rfc9112-3 method",
            Self::RequestLine => "rfc9112-3 request-line",
            Self::TargetLength => "rfc9112-3 request-target length",
            Self::Host => "rfc9112-3.2 host",
            Self::HostMissing => "rfc9112-3.2 host missing",
            Self::HostRepeated => "rfc9112-3.2 host repeated",
            Self::TargetForm => "rfc9112-3.2 request-target form",
            Self::TargetOctets => "rfc9112-3.2 request-target octets",
            Self::AuthorityForm => "rfc9112-3.2.3 authority-form",
            Self::AsteriskForm => "rfc9112-3.2.4 asterisk-form",
            Self::FieldLine => "rfc9112-5 field-line",
            Self::FieldName => "rfc9112-5.1 field-name",
            Self::SpaceBeforeColon => "rfc9112-5.1 white space before colon",
            Self::ObsFold => "rfc9112-5.2 obs-fold",
            Self::LengthBesideCoding => "rfc9112-6.1 content-length beside transfer-encoding",
            Self::UnknownCoding => "rfc9112-6.1 transfer-coding",
            Self::CodingIn10 => "rfc9112-6.1 transfer-encoding in HTTP/1.0",
            Self::CodingRepeated => "rfc9112-6.1 transfer-encoding repeated",
            Self::Length => "rfc9112-6.3 content-length",
            Self::LengthRepeated => "rfc9112-6.3 content-length repeated",
            Self::LastCoding => "rfc9112-6.3 transfer-encoding",
            Self::ChunkEnd => "rfc9112-7.1 chunk line end",
            Self::ChunkSize => "rfc9112-7.1 chunk-size",
            Self::ChunkExtension => "rfc9112-7.1.1 chunk-ext",
            Self::ChunkExtensionLength => "rfc9112-7.1.1 chunk-ext length",
            Self::Trailer => "rfc9112-7.1.2 trailer",
            Self::ProgramContent => "too much content waits for programs",
        }
    }
}

#[cfg(test)]
impl Clause {
    /// Every clause there is.
    pub(super) const ALL: &[Self] = &[
        Self::PercentEncoding,
        Self::FieldCount,
        Self::HeaderSize,
        Self::TrailerSize,
        Self::Expectation,
        Self::AuthorizationRepeated,
        Self::ContentLength,
        Self::Timeout,
        Self::BodyTimeout,
        Self::BodyRate,
        Self::MajorVersion,
        Self::EncodedControl,
        Self::TargetAuthority,
        Self::FieldValue,
        Self::CodingList,
        Self::Method,
        Self::BareCr,
        Self::BareLf,
        Self::LeadingSpace,
        Self::Version,
        Self::VersionMissing,
        Self::MethodToken,
        Self::RequestLine,
        Self::TargetLength,
        Self::Host,
        Self::HostMissing,
        Self::HostRepeated,
        Self::TargetForm,
        Self::TargetOctets,
        Self::AuthorityForm,
        Self::AsteriskForm,
        Self::FieldLine,
        Self::FieldName,
        Self::SpaceBeforeColon,
        Self::ObsFold,
        Self::LengthBesideCoding,
        Self::UnknownCoding,
        Self::CodingIn10,
        Self::CodingRepeated,
        Self::Length,
        Self::LengthRepeated,
        Self::LastCoding,
        Self::ChunkEnd,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkExtensionLength,
        Self::Trailer,
        Self::ProgramContent,
    ];

    /// The rows of the service rules that are refused for it; none where the
    /// rule is of our own making.
    pub(super) const fn rows(self) -> &'static [u16] {
        match self {
            Self::PercentEncoding => &[109],
            Self::FieldCount => &[112],
            Self::HeaderSize => &[112],
            Self::TrailerSize => &[112],
            Self::Expectation => &[61],
            Self::AuthorizationRepeated => &[],
            Self::ContentLength => &[48, 59, 67, 113],
            Self::Timeout => &[69, 114],
            Self::BodyTimeout => &[],
            Self::BodyRate => &[],
            Self::MajorVersion => &[22],
            Self::EncodedControl => &[79, 109],
            Self::TargetAuthority => &[27, 34],
            Self::FieldValue => &[8, 9, 12, 41],
            Self::CodingList => &[43],
            Self::Method => &[14, 15],
            Self::BareCr => &[2],
            Self::BareLf => &[1],
            Self::LeadingSpace => &[4],
            Self::Version => &[24],
            Self::VersionMissing => &[25],
            Self::MethodToken => &[3, 13, 16, 17],
            Self::RequestLine => &[17, 18, 24],
            Self::TargetLength => &[21],
            Self::Host => &[34],
            Self::HostMissing => &[32],
            Self::HostRepeated => &[33],
            Self::TargetForm => &[19],
            Self::TargetOctets => &[19],
            Self::AuthorityForm => &[30],
            Self::AsteriskForm => &[28],
            Self::FieldLine => &[7],
            Self::FieldName => &[7, 11],
            Self::SpaceBeforeColon => &[5],
            Self::ObsFold => &[6],
            Self::LengthBesideCoding => &[38],
            Self::UnknownCoding => &[40],
            Self::CodingIn10 => &[44],
            Self::CodingRepeated => &[42],
            Self::Length => &[45, 46, 47],
            Self::LengthRepeated => &[46, 47],
            Self::LastCoding => &[39, 41, 42],
            Self::ChunkEnd => &[54],
            Self::ChunkSize => &[52, 53, 54],
            Self::ChunkExtension => &[55],
            Self::ChunkExtensionLength => &[55],
            Self::Trailer => &[56],
            Self::ProgramContent => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_clauses_and_differ() {
        let names: BTreeSet<&str> = Clause::ALL.iter().map(|clause| clause.name()).collect();
        assert_eq!(names.len(), Clause::ALL.len());
        for clause in Clause::ALL {
            let name = clause.name();
            let of_document = name.strip_prefix("rfc").is_some_and(|rest| {
                let (number, about) = rest.split_once(' ').unwrap_or_default();
                let (document, section) = number.split_once('-').unwrap_or_default();
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                digits(document) && section.split('.').all(digits) && !about.is_empty()
            });
            assert!(of_document || clause.rows().is_empty(), "{name}");
            assert!(name.is_ascii() && !name.contains(['"', '\\']), "{name}");
        }
    }
}
