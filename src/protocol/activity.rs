//! What a protocol says of its doings while it does them.

use super::RequestId;

/// What a connection is doing, for scoreboard, title and counters.
#[derive(Debug)]
pub struct Activity {
    /// Requests begun, as the protocol counts them.
    pub requests: u64,
    /// Answers that nobody has counted yet, by the first digit of their status.
    answers: [u32; 5],
    answered: bool,
    /// Of these, answers to requests that ask whether we are well, likewise.
    probes: u32,
    /// What their names are counted from.
    start: u64,
    text: [u8; Self::LENGTH],
    length: u8,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            requests: 0,
            answers: [0; 5],
            answered: false,
            probes: 0,
            start: 0,
            text: [0; Self::LENGTH],
            length: 0,
        }
    }
}

impl Activity {
    /// The longest description kept, in octets.
    pub const LENGTH: usize = 96;

    /// Names requests by counting on from `start`, which should be random: then
    /// nobody else comes to the same number.
    pub fn counting_from(start: u64) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }

    /// Another one, whose requests are numbered from `distance` past where
    /// these began.
    #[must_use]
    pub fn counting_apart(&self, distance: u64) -> Self {
        Self::counting_from(self.start.wrapping_add(distance))
    }

    /// A request begins: counts it, and answers its name.
    pub fn begin(&mut self) -> RequestId {
        self.requests += 1;
        RequestId::new(self.start.wrapping_add(self.requests))
    }

    /// Says what is being worked on, e.g. `GET /a.iso`. Cut at
    /// [`Activity::LENGTH`]; control characters become `?`.
    pub fn describe(&mut self, parts: &[&[u8]]) {
        let mut length = 0;
        for part in parts {
            let count = part.len().min(Self::LENGTH - length);
            self.text[length..][..count].copy_from_slice(&part[..count]);
            length += count;
        }
        for byte in &mut self.text[..length] {
            *byte = if byte.is_ascii_control() { b'?' } else { *byte };
        }
        self.length = length as u8;
    }

    /// The last description, empty where there is none.
    pub fn text(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }

    /// Says that a request was answered with `status`, 100 to 599; others are
    /// not counted. An answer that only says to go on counts as well.
    pub fn answer(&mut self, status: u16) {
        let class = usize::from(status / 100).wrapping_sub(1);
        if let Some(count) = self.answers.get_mut(class) {
            *count += 1;
            self.answered = true;
        }
    }

    /// Says that the request that is being answered asks for no more than whether
    /// we are well. To be said before [`Activity::answer`], with which it is
    /// counted.
    pub fn probe(&mut self) {
        self.probes += 1;
    }

    /// The requests of that kind since the last time.
    pub fn take_probes(&mut self) -> u32 {
        std::mem::take(&mut self.probes)
    }

    /// The answers since the last time, 1xx to 5xx; `None` where there were none.
    pub fn take_answers(&mut self) -> Option<[u32; 5]> {
        if !self.answered {
            return None;
        }
        self.answered = false;
        Some(std::mem::take(&mut self.answers))
    }

    /// Forgets the description.
    pub fn clear(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_count_apart_name_no_request_alike() {
        let all = Activity::counting_from(u64::MAX - 1);
        let mut names = std::collections::BTreeSet::new();
        for child in 1..=100 {
            let mut activity = all.counting_apart(child << 32);
            names.extend((0..100).map(|_| activity.begin().to_string()));
        }
        assert_eq!(names.len(), 10_000);
    }
}
