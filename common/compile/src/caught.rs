//! Containing a defect of this program while it compiles.
//!
//! Promise: a panic in the work becomes its message, and costs what the work was about. The standard library's hook has
//! written where it was to standard error by then. Absent: what ends a process without unwinding, which is a stack that
//! overflows and memory that runs out; the bounds of documents are there against both.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does some work.
///
/// What the work has changed when it panics must be thrown away by the caller, or be good at every step.
///
/// # Errors
/// The message of a panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        text.unwrap_or("a panic without a message").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message_and_anything_else_is_what_was_made() {
        assert_eq!(caught(|| 5), Ok(5));
        assert_eq!(caught(|| -> u8 { panic!("plain") }), Err("plain".to_owned()));
        let number = 7;
        assert_eq!(caught(|| -> u8 { panic!("number {number}") }), Err("number 7".to_owned()));
        assert_eq!(caught(|| -> u8 { std::panic::panic_any(7_u8) }), Err("a panic without a message".to_owned()));
    }
}
