//! A template or pattern that is accepted takes its own example.
#![no_main]

use banyan::route::{Pattern, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(template) = Template::parse(text) {
        assert!(template.takes(&template.example()));
    }
    if let Ok(pattern) = Pattern::parse(text) {
        let _ = pattern.takes(text);
    }
});
