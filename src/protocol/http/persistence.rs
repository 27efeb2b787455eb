//! Whether another request may follow on the connection (RFC 9112 §9.3).

use super::request::Version;

/// What the Connection fields of a request ask for. All of them count, and
/// each is a list (RFC 9110 §7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
}

impl ConnectionOptions {
    /// Takes in one field value. Options nobody knows here say nothing.
    pub(super) fn add(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the client wants to go on; `close` outweighs everything.
    pub(super) fn persists(self, version: Version) -> bool {
        !self.close
            && match version {
                Version::Http11 => true,
                Version::Http10 => self.keep_alive,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_lists() {
        // Rules 63 to 66.
        for (version, fields, persists) in [
            (Version::Http11, &[][..], true),
            (Version::Http11, &["close"][..], false),
            (Version::Http11, &["foo, Close"], false),
            (Version::Http11, &["keep-alive", "CLOSE"], false),
            (Version::Http11, &["upgrade"], true),
            (Version::Http11, &["closed, xclose"], true),
            (Version::Http10, &[], false),
            (Version::Http10, &["Keep-Alive"], true),
            (Version::Http10, &["foo,\tkeep-alive ,"], true),
            (Version::Http10, &["close, keep-alive"], false),
        ] {
            let mut options = ConnectionOptions::default();
            for field in fields {
                options.add(field.as_bytes());
            }
            assert_eq!(
                options.persists(version),
                persists,
                "{version:?} {fields:?}"
            );
        }
    }
}
