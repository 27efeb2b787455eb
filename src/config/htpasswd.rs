//! Password files as htpasswd(1) writes them, one `user:hash` a line; of the
//! hashes bcrypt alone.
//!
//! Owes that no hash gets into a message or a debug line.

use std::fmt;

/// The users of a password file with their hashes, in the order of the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Passwords {
    users: Vec<(String, String)>,
}

/// The least and the most rounds, as powers of two. More than the most would
/// keep a processor busy for several seconds a try.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;

impl Passwords {
    /// Reads a file.
    ///
    /// # Errors
    /// The number of the first line that is wrong, counted from 1, and why.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users: Vec<(String, String)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let wrong = |why: &str| Err((at + 1, why.to_owned()));
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((user, hash)) = line.split_once(':') else {
                return wrong("expected user:hash");
            };
            if user.is_empty() || user.contains(char::is_control) {
                return wrong("expected a user's name in front of the colon");
            }
            if users.iter().any(|(known, _)| known == user) {
                return wrong("this user stands there twice");
            }
            match cost(hash) {
                None => return wrong("expected a hash of bcrypt: htpasswd -B"),
                Some(cost) if !COSTS.contains(&cost) => {
                    return wrong("expected a hash of bcrypt with a cost from 4 to 16");
                }
                Some(_) => users.push((user.to_owned(), hash.to_owned())),
            }
        }
        Ok(Self { users })
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The hash of a user. Every name is compared to its end, so that the time
    /// this takes does not tell how much of a name was right.
    pub fn hash_of(&self, user: &[u8]) -> Option<&str> {
        let mut found = None;
        for (known, hash) in &self.users {
            let known = known.as_bytes();
            let differences = known
                .iter()
                .zip(user)
                .fold(known.len() ^ user.len(), |sum, (one, other)| {
                    sum | usize::from(one ^ other)
                });
            if std::hint::black_box(differences) == 0 {
                found = Some(hash.as_str());
            }
        }
        found
    }

    /// A hash that no password has, to spend as much time on an unknown user
    /// as on the one whose hash costs most.
    pub fn decoy(&self) -> String {
        let most = self.users.iter().filter_map(|(_, hash)| cost(hash)).max();
        let most = most.unwrap_or(*COSTS.start());
        // 22 letters of salt, 31 of an outcome.
        format!("$2b${most:02}${}{}", "e".repeat(22), ".".repeat(31))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({} users)", self.users.len())
    }
}

/// The cost of a hash of bcrypt: `$2b$10$` and 53 letters of its base 64.
fn cost(hash: &str) -> Option<u32> {
    let rest = hash.strip_prefix("$2")?.strip_prefix(['a', 'b', 'y'])?;
    let (cost, rest) = rest.strip_prefix('$')?.split_once('$')?;
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let fits = cost.len() == 2 && rest.len() == 53 && rest.bytes().all(inside);
    cost.parse().ok().filter(|_| fits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hash(kind: &str, cost: &str) -> String {
        format!("$2{kind}${cost}${}", "a".repeat(53))
    }

    #[test]
    fn users_and_their_hashes() {
        let text = format!(
            "# staff\nada:{}\n\nbob:{}\r\n",
            hash("y", "05"),
            hash("b", "10")
        );
        let passwords = Passwords::parse(&text).unwrap();
        assert_eq!(passwords.hash_of(b"ada"), Some(&*hash("y", "05")));
        assert_eq!(passwords.hash_of(b"bob"), Some(&*hash("b", "10")));
        for stranger in [&b""[..], b"ad", b"adaa", b"Ada", b"adb"] {
            assert_eq!(passwords.hash_of(stranger), None);
        }
        assert_eq!(cost(&passwords.decoy()), Some(10));
        assert_eq!(format!("{passwords:?}"), "Passwords(2 users)");
        assert!(Passwords::parse("").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_line_is_named_without_its_hash() {
        let good = format!("ada:{}", hash("a", "04"));
        for (line, why) in [
            ("bob".to_owned(), "expected user:hash"),
            (format!(":{}", hash("a", "04")), "expected a user's name"),
            (good.clone(), "this user stands there twice"),
            ("bob:$apr1$x$y".to_owned(), "expected a hash of bcrypt: "),
            ("bob:secret".to_owned(), "expected a hash of bcrypt: "),
            (
                format!("bob:{}", hash("x", "04")),
                "expected a hash of bcrypt: ",
            ),
            (
                format!("bob:{}", hash("b", "31")),
                "expected a hash of bcrypt with",
            ),
            (
                format!("bob:{}", hash("b", "03")),
                "expected a hash of bcrypt with",
            ),
        ] {
            let (at, error) = Passwords::parse(&format!("{good}\n{line}\n")).unwrap_err();
            assert_eq!(at, 2);
            assert!(error.starts_with(why), "{line}: {error}");
        }
    }
}
