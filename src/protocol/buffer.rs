//! The two buffers of a connection. Each has a bound; neither is ever handed
//! out uninitialised.

/// Bytes received and not yet consumed.
///
/// Invariant: `start <= end <= store.len()`; the unread bytes are
/// `store[start..end]`. They are [`Input::LIMIT`] at most, unless
/// [`Input::room_ahead`] was asked for.
#[derive(Debug, Default)]
pub struct Input {
    store: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled it to the brim: there was more to be had.
    brimful: bool,
}

impl Input {
    /// The most that can wait unread, in octets.
    pub const LIMIT: usize = 128 * 1024;
    /// What the first read has room for, unless the buffer served another before.
    const FIRST: usize = 8 * 1024;
    /// What is kept where nothing waits: a client that sends without end gets
    /// buffers of this size, and so needs fewer reads.
    const KEPT: usize = 64 * 1024;

    /// The bytes not yet consumed.
    pub fn unread(&self) -> &[u8] {
        &self.store[self.start..self.end]
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it has no memory yet.
    pub fn is_bare(&self) -> bool {
        self.store.is_empty()
    }

    /// Marks the first `count` unread bytes as used; more than there are means all.
    pub fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Adds bytes at the end, as a test or a shared read buffer does. Answers
    /// how many fitted.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let room = self.room();
            if room.is_empty() {
                break;
            }
            let count = room.len().min(bytes.len() - taken);
            room[..count].copy_from_slice(&bytes[taken..taken + count]);
            self.filled(count);
            taken += count;
        }
        taken
    }

    /// Where the next read goes; empty only if [`Input::LIMIT`] bytes wait.
    /// A buffer that was filled to the brim is larger the next time, also where
    /// all of it was consumed at once.
    pub fn room(&mut self) -> &mut [u8] {
        if self.brimful && self.is_empty() && self.store.len() < Self::KEPT {
            self.store.resize(self.store.len() * 2, 0);
        }
        self.brimful = false;
        if self.end == self.store.len() {
            if self.start > 0 {
                self.store.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                let larger = (self.store.len() * 2).clamp(Self::FIRST, Self::LIMIT);
                self.store.resize(larger.max(self.store.len()), 0);
            }
        }
        &mut self.store[self.end..]
    }

    /// Room for `count` octets, whatever waits already: for a driver that takes
    /// what its protocol has not asked for.
    pub fn room_ahead(&mut self, count: usize) -> &mut [u8] {
        let end = self.end + count;
        if self.store.len() < end {
            self.store.resize(end, 0);
        }
        &mut self.store[self.end..end]
    }

    /// `count` bytes of [`Input::room`] hold data now.
    pub fn filled(&mut self, count: usize) {
        self.end = self.store.len().min(self.end + count);
        self.brimful = self.end == self.store.len();
    }

    /// Forgets everything, and the memory too where it grew.
    pub fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        if self.store.len() > Self::KEPT {
            self.store = Vec::new();
        }
    }
}

/// Bytes to send. A protocol appends; the driver sends from the front.
#[derive(Debug, Default)]
pub struct Output {
    store: Vec<u8>,
    sent: usize,
}

impl Output {
    /// A size past which a protocol should ask for [`super::Action::Flush`]
    /// before it makes more.
    pub const ENOUGH: usize = 64 * 1024;

    /// The bytes still to send.
    pub fn unsent(&self) -> &[u8] {
        &self.store[self.sent..]
    }

    /// How many bytes are still to send.
    pub fn len(&self) -> usize {
        self.store.len() - self.sent
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has no memory yet.
    pub fn is_bare(&self) -> bool {
        self.store.capacity() == 0
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.store.extend_from_slice(bytes);
    }

    /// The store itself, for code that appends in place (`write!`, a read from
    /// a file). Only append.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.store
    }

    /// The first `count` bytes have left.
    pub fn advance(&mut self, count: usize) {
        self.sent = self.store.len().min(self.sent.saturating_add(count));
        if self.sent == self.store.len() {
            self.store.clear();
            self.sent = 0;
        } else if self.sent >= Self::ENOUGH && self.sent >= self.store.len() / 2 {
            // A client that never quite catches up must not keep what it has
            // read in memory. Moving less than was sent costs nothing in sum.
            self.store.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Forgets everything, and the memory too where it grew.
    pub fn reset(&mut self) {
        self.store.clear();
        self.sent = 0;
        if self.store.capacity() > Self::ENOUGH {
            self.store = Vec::new();
        }
    }
}

impl std::io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_keeps_order_over_consume_compact_and_grow() {
        let mut input = Input::default();
        let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let mut seen = Vec::new();
        for chunk in data.chunks(777) {
            assert_eq!(input.push(chunk), chunk.len());
            let take = input.unread().len() / 2;
            seen.extend_from_slice(&input.unread()[..take]);
            input.consume(take);
        }
        seen.extend_from_slice(input.unread());
        assert_eq!(seen, data);
    }

    #[test]
    fn input_stops_at_its_limit() {
        let mut input = Input::default();
        let flood = vec![1; Input::LIMIT + 1];
        assert_eq!(input.push(&flood), Input::LIMIT);
        assert!(input.room().is_empty());
        input.consume(1);
        assert_eq!(input.room().len(), 1);
    }

    #[test]
    fn what_is_read_ahead_is_in_order_and_stays() {
        let mut input = Input::default();
        input.push(&vec![1; Input::LIMIT]);
        for octet in [2, 3] {
            let room = input.room_ahead(Input::LIMIT);
            assert_eq!(room.len(), Input::LIMIT);
            room.fill(octet);
            input.filled(Input::LIMIT);
        }
        assert!(input.room().is_empty());
        for octet in 1..=3 {
            assert!(input.unread()[..Input::LIMIT] == [octet; Input::LIMIT]);
            input.consume(Input::LIMIT);
        }
        assert!(input.is_empty());
        input.reset();
        assert!(input.is_bare());
    }

    #[test]
    fn who_sends_without_end_is_read_in_larger_pieces() {
        let mut input = Input::default();
        let mut sizes = Vec::new();
        for _ in 0..6 {
            let size = input.room().len();
            input.filled(size);
            input.consume(usize::MAX);
            // As between two reads, when the buffer may go to another client.
            input.reset();
            sizes.push(size / 1024);
        }
        assert_eq!(sizes, [8, 16, 32, 64, 64, 64]);
        let room = input.room().len();
        input.filled(room - 1);
        input.consume(usize::MAX);
        assert_eq!(input.room().len(), room);
    }

    #[test]
    fn output_forgets_what_was_sent() {
        let mut output = Output::default();
        output.push(b"hello");
        output.advance(2);
        output.push(b"!");
        assert_eq!(output.unsent(), b"llo!");
        output.advance(usize::MAX);
        assert!(output.is_empty());
    }

    #[test]
    fn output_stays_bounded_when_it_is_never_quite_empty() {
        let mut output = Output::default();
        output.push(&[0; 1000]);
        for _ in 0..10_000 {
            output.push(&[1; 1000]);
            output.advance(1000);
        }
        assert_eq!(output.len(), 1000);
        assert!(output.tail().capacity() < 4 * Output::ENOUGH);
    }

    #[test]
    fn more_than_there_is_means_all() {
        let mut input = Input::default();
        input.push(b"abc");
        input.consume(1);
        input.consume(usize::MAX);
        assert!(input.is_empty());
    }
}
