//! The target `keys` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sluice_fuzz::keys::run(input));
