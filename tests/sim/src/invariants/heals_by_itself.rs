//! When everything is mended, everything works again, without an operator.

use super::Invariant;
use crate::event::Event;

/// Who looks whether it works again is the run itself.
#[derive(Debug)]
pub(crate) struct HealsByItself;

impl Invariant for HealsByItself {
    fn name(&self) -> &'static str {
        "heals_by_itself"
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        if let Event::NotHealed(what) = event { Err(what.clone()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_work_again_is_noticed() {
        assert!(HealsByItself.see(&Event::NotHealed("c1".to_owned())).is_err());
        assert!(HealsByItself.see(&Event::Trouble("c1".to_owned())).is_ok());
    }
}
