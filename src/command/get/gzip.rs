//! Content that was compressed on its way (RFC 9110 §8.4.1.3).

use crate::client::{Cause, Failure};
use flate2::write::MultiGzDecoder;
use std::io::{self, Write};

/// Decompresses as it comes.
pub(super) struct Inflater(MultiGzDecoder<Vec<u8>>);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(MultiGzDecoder::new(Vec::new()))
    }

    /// What these octets, which follow those before, decompress to.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<Vec<u8>, Failure> {
        self.0.write_all(octets).map_err(|error| broken(&error))?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// What is left, at the end of it.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        self.0.try_finish().map_err(|error| broken(&error))?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Cause::Coding, format!("the content is no gzip: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn inflate(octets: &[u8], size: usize) -> Result<Vec<u8>, Failure> {
        let mut inflater = Inflater::new();
        let mut content = Vec::new();
        for piece in octets.chunks(size) {
            content.extend(inflater.write(piece)?);
        }
        content.extend(inflater.finish()?);
        Ok(content)
    }

    #[test]
    fn what_was_compressed_comes_out_and_nothing_else_does() {
        let text = b"preforkd ".repeat(1000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        for size in [1, 10, packed.len()] {
            assert_eq!(inflate(&packed, size), Ok(text.clone()), "{size}");
        }
        let mut wrong = packed.clone();
        wrong[packed.len() - 6] ^= 1;
        for octets in [
            b"hello, world, this is plain".to_vec(),
            packed[..packed.len() - 3].to_vec(),
            wrong,
        ] {
            let failure = inflate(&octets, 7).unwrap_err();
            assert_eq!(failure.cause, Cause::Coding, "{failure}");
        }
    }
}
