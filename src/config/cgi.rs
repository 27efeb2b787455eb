//! The variables of CGI programs that a configuration has no say in.
//!
//! Owes that what a program reads of the request is the request's own: a variable from
//! elsewhere would stand for what a request has not, a REMOTE_USER who said no
//! password, a CONTENT_LENGTH without content.

/// Who decides over a variable that nobody may pass on.
pub(crate) fn decided(name: &str) -> Option<&'static str> {
    if name.starts_with("HTTP_") {
        Some("that is where fields of the request come")
    } else if DECIDED.contains(&name) {
        Some("the request decides it")
    } else {
        None
    }
}

/// Variables with a meaning of their own (RFC 3875 §4.1, and those of ours).
const DECIDED: &[&str] = &[
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "DOCUMENT_ROOT",
    "GATEWAY_INTERFACE",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REDIRECT_STATUS",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_IDENT",
    "REMOTE_PORT",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "SERVER_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
    "UNIQUE_ID",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::command::Passed;
    use super::super::kind::tests::read;
    use super::*;

    #[test]
    fn variables_are_no_fields() {
        let names = ["PATH", "_a1"].map(str::to_owned).to_vec();
        assert_eq!(read(&Passed(decided), "['PATH', '_a1']"), Ok(names));
        assert_eq!(read(&Passed(decided), "[]"), Ok(Vec::new()));
        for text in ["1a", "A=b", "", "a b", "HTTP_PROXY"] {
            assert!(
                read(&Passed(decided), &format!("'{text}'")).is_err(),
                "{text}"
            );
        }
        for name in DECIDED {
            let error = read(&Passed(decided), &format!("'{name}'")).unwrap_err();
            assert!(error.ends_with("; the request decides it"), "{error}");
        }
    }
}
