//! `preforkd::fuzzing::proxied` for cargo-fuzz; what it promises stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| preforkd::fuzzing::proxied(octets));
