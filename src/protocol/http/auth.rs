//! Basic authentication (RFC 7617).
//!
//! A hash of bcrypt is meant to take long, tens to hundreds of milliseconds, so
//! it is work that the driver is asked to do away from everybody else. Who was
//! right is remembered for a minute, so that a page with fifty pictures costs
//! one hash: not the password, but a tag of it under keys that only this
//! worker's memory holds. Who was wrong is not remembered, and a name that
//! nobody has costs as much time as one that somebody has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Auth;
use crate::protocol::Work;

/// How long somebody who was right is remembered.
const MEMORY: Duration = Duration::from_secs(60);
/// How many are remembered; the one that expires first makes room.
const MOST: usize = 256;

/// Name and password in a realm, as far as they are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u64, u64);

/// Who was right lately. Shared by the threads of a worker.
#[derive(Debug)]
pub(super) struct Memory {
    keys: [RandomState; 2],
    known: Mutex<Vec<(Tag, Instant)>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            known: Mutex::new(Vec::new()),
        }
    }

    /// The tag of `credentials`, which are `user:password`.
    pub(super) fn tag(&self, auth: &Auth, credentials: &[u8]) -> Tag {
        // The hash stands for the user and for the password file.
        let hash = auth.users.hash_of(split(credentials).0);
        let facts = (auth.realm.as_str(), &auth.file, hash, credentials);
        let [one, other] = &self.keys;
        Tag(one.hash_one(facts), other.hash_one(facts))
    }

    /// Whether whoever has this tag was right a short while ago.
    pub(super) fn knows(&self, tag: Tag, now: Instant) -> bool {
        self.lock()
            .iter()
            .any(|(known, until)| *known == tag && now < *until)
    }

    /// Remembers that whoever has this tag was right.
    pub(super) fn learn(&self, tag: Tag, now: Instant) {
        let mut known = self.lock();
        known.retain(|(known, until)| *known != tag && now < *until);
        if known.len() >= MOST {
            // They stand in the order in which they expire.
            known.remove(0);
        }
        known.push((tag, now + MEMORY));
    }

    /// A panic elsewhere leaves the list whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Tag, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work of finding out whether `credentials` are right.
pub(super) fn work(auth: &Auth, credentials: &[u8]) -> Work {
    let (user, password) = split(credentials);
    let (hash, known) = match auth.users.hash_of(user) {
        Some(hash) => (hash.to_owned(), true),
        None => (auth.users.decoy(), false),
    };
    let password = password.to_vec();
    Work::new(Arc::new(move || {
        bcrypt::verify(&password, &hash).unwrap_or(false) & known
    }))
}

/// Name and password; a name holds no colon.
pub(super) fn split(credentials: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', credentials) {
        Some(colon) => (&credentials[..colon], &credentials[colon + 1..]),
        None => (credentials, b""),
    }
}

/// Reads the value of an Authorization field and appends `user:password` to
/// `out`; false, and nothing appended, if it is anything else.
///
/// credentials = "Basic" 1*SP token68 (RFC 9110 §11.4, RFC 7617 §2)
pub(super) fn decode(field: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((scheme, token)) = field.split_at_checked(6) else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return false;
    }
    let start = out.len();
    // RFC 4648 §4: with its padding, and nothing else.
    let decoded = STANDARD.decode_vec(token.trim_ascii_start(), out);
    // RFC 7617 §2: neither holds a control character.
    let plain = &out[start..];
    let fits = plain.contains(&b':') && !plain.iter().any(u8::is_ascii_control);
    if decoded.is_err() || !fits {
        out.truncate(start);
        return false;
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Passwords;

    fn auth() -> Auth {
        let hash = bcrypt::hash("open sesame", 4).unwrap();
        Auth {
            realm: "r".to_owned(),
            file: "/htpasswd".into(),
            users: Arc::new(Passwords::parse(&format!("ada:{hash}\n")).unwrap()),
        }
    }

    fn decoded(field: &str) -> Option<String> {
        let mut out = b"kept".to_vec();
        let fits = decode(field.as_bytes(), &mut out);
        let text = String::from_utf8(out.split_off(4)).unwrap();
        assert!(fits || text.is_empty());
        fits.then_some(text)
    }

    #[test]
    fn credentials() {
        // RFC 7617 §2.
        let aladdin = Some("Aladdin:open sesame".to_owned());
        assert_eq!(decoded("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(decoded("bASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(decoded("Basic Og=="), Some(":".to_owned()));
        assert_eq!(decoded("Basic YTpiOmM="), Some("a:b:c".to_owned()));
        for field in [
            "",
            "Basic",
            "Basic ",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
            "Basic QWxhZGRpbjpvcGVu IHNlc2FtZQ==",
            "Basic QQ==",
            "Basic YTo=YTo=",
            "Basic ====",
            "Basic YQo6Yg==",
            "Basic AGE6Yg==",
        ] {
            assert_eq!(decoded(field), None, "{field}");
        }
    }

    #[test]
    fn who_is_right() {
        let auth = auth();
        for (credentials, right) in [
            ("ada:open sesame", true),
            ("ada:open sesame ", false),
            ("ada:", false),
            ("ada", false),
            ("bob:open sesame", false),
            (":open sesame", false),
        ] {
            assert_eq!(
                work(&auth, credentials.as_bytes()).run(),
                right,
                "{credentials}"
            );
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_hashed_as_well() {
        // Not the time, which varies, but what takes it.
        let auth = auth();
        let decoy = auth.users.decoy();
        assert!(matches!(bcrypt::verify("x", &decoy), Ok(false)));
        assert!(decoy.starts_with("$2b$04$"));
    }

    #[test]
    fn memory_is_short_bounded_and_exact() {
        let (auth, memory, now) = (auth(), Memory::new(), Instant::now());
        let tag = memory.tag(&auth, b"ada:open sesame");
        assert!(!memory.knows(tag, now));
        memory.learn(tag, now);
        assert!(memory.knows(tag, now + MEMORY - Duration::from_millis(1)));
        assert!(!memory.knows(tag, now + MEMORY));
        for other in ["ada:open sesam", "ada:", "bob:open sesame"] {
            assert!(!memory.knows(memory.tag(&auth, other.as_bytes()), now));
        }
        let elsewhere = Auth {
            realm: "s".to_owned(),
            ..auth.clone()
        };
        assert_ne!(memory.tag(&elsewhere, b"ada:open sesame"), tag);
        assert_ne!(Memory::new().tag(&auth, b"ada:open sesame"), tag);
        for at in 0..MOST as u64 {
            memory.learn(Tag(at, at), now);
        }
        assert_eq!(memory.lock().len(), MOST);
        assert!(!memory.knows(tag, now));
    }
}
