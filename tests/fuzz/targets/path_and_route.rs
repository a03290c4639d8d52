#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::path_and_route(data));
