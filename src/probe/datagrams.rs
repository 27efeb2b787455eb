//! Datagrams: what is right to come back for one, and whether it did.
//!
//! Owes, as all of [`super`], that a verdict follows from what came alone. A
//! datagram may be lost on its way, which nobody can tell from a server that
//! does not answer: probe over ways that lose none.

use super::Octets;
use std::net::SocketAddr;

/// What is right to come back for a datagram.
#[derive(Clone, Debug)]
pub enum Reply {
    /// One, from the address that was asked, with octets that are right.
    Once(Octets),
    /// None, in all the time that there is.
    None,
    /// None to this port, though another port gets one.
    NoneTo(u16),
}

/// What came for a datagram.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// What was sent.
    pub sent: Vec<u8>,
    /// What came, and from where.
    pub replies: Vec<(SocketAddr, Vec<u8>)>,
    /// Whether the same from another port was answered, where that is asked.
    pub answers_others: bool,
}

/// Whether what came from `asked` is right; the text says what is wrong.
///
/// # Errors
/// What is wrong.
pub fn judge(reply: &Reply, asked: SocketAddr, heard: &Heard) -> Result<(), String> {
    let came = &heard.replies[..];
    match reply {
        Reply::Once(judge) => match came {
            [] => Err("no reply".to_owned()),
            // A zone is not said by everybody.
            [(from, octets)] if from.ip() == asked.ip() && from.port() == asked.port() => {
                judge(&heard.sent, octets)
            }
            [(from, _)] => Err(format!("the reply is from {from}, and {asked} was asked")),
            all => Err(format!("{} replies", all.len())),
        },
        Reply::None if came.is_empty() => Ok(()),
        Reply::NoneTo(port) if came.is_empty() => match heard.answers_others {
            true => Ok(()),
            false => Err(format!("no reply, but not only to port {port}")),
        },
        Reply::None => Err(format!("{} replies", came.len())),
        Reply::NoneTo(port) => Err(format!("{} replies to port {port}", came.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reply_is_right_and_from_there() {
        let asked = SocketAddr::from(([127, 0, 0, 2], 7));
        let other = SocketAddr::from(([127, 0, 0, 1], 7));
        let same: Octets = |sent, came| (sent == came).then_some(()).ok_or("other".to_owned());
        let heard = |replies: &[(SocketAddr, &[u8])], answers_others| Heard {
            sent: b"a".to_vec(),
            replies: replies
                .iter()
                .map(|(from, text)| (*from, text.to_vec()))
                .collect(),
            answers_others,
        };
        for (reply, heard, wrong) in [
            (Reply::Once(same), heard(&[(asked, b"a")], false), None),
            (
                Reply::Once(same),
                heard(&[(asked, b"b")], false),
                Some("other"),
            ),
            (Reply::Once(same), heard(&[], false), Some("no reply")),
            (
                Reply::Once(same),
                heard(&[(asked, b"a"), (asked, b"a")], false),
                Some("2 replies"),
            ),
            (
                Reply::Once(same),
                heard(&[(other, b"a")], false),
                Some("the reply is from 127.0.0.1:7, and 127.0.0.2:7 was asked"),
            ),
            (Reply::None, heard(&[], false), None),
            (
                Reply::None,
                heard(&[(asked, b"a")], false),
                Some("1 replies"),
            ),
            (Reply::NoneTo(7), heard(&[], true), None),
            (
                Reply::NoneTo(7),
                heard(&[], false),
                Some("no reply, but not only to port 7"),
            ),
            (
                Reply::NoneTo(7),
                heard(&[(asked, b"a")], true),
                Some("1 replies to port 7"),
            ),
        ] {
            assert_eq!(judge(&reply, asked, &heard).err().as_deref(), wrong);
        }
    }
}
