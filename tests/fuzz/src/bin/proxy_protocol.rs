//! The target `proxy_protocol` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sluice_fuzz::proxy_protocol::run(input));
