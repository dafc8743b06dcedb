//! Where the variables of a matched path lie.

use std::ops::Range;

/// Most variables of one path.
pub const CAPTURES_MAX: usize = 32;

/// Ranges of a request's path, in the order of the route's variables. Owned and reused by the caller.
#[derive(Debug, Clone, Copy)]
pub struct Captures {
    spans: [(u16, u16); CAPTURES_MAX],
    len: u8,
}

impl Default for Captures {
    fn default() -> Self {
        Self::new()
    }
}

impl Captures {
    /// Returns captures of nothing.
    pub const fn new() -> Self {
        Self { spans: [(0, 0); CAPTURES_MAX], len: 0 }
    }

    /// Returns the range of the variable with this index; `None` when the route has fewer.
    pub fn get(&self, index: usize) -> Option<Range<usize>> {
        let (start, len) = *self.spans[..usize::from(self.len)].get(index)?;
        Some(usize::from(start)..usize::from(start) + usize::from(len))
    }

    /// Returns the text of the variable with this index, of the path that was looked up.
    pub fn text<'p>(&self, index: usize, path: &'p str) -> Option<&'p str> {
        path.get(self.get(index)?)
    }

    /// Returns how many variables there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds one; returns what `cut` takes it away with.
    pub(super) fn push(&mut self, start: usize, len: usize) -> u8 {
        let mark = self.len;
        let position = |value: usize| u16::try_from(value).expect("paths are at most 65,535 bytes");
        self.spans[usize::from(mark)] = (position(start), position(len));
        self.len += 1;
        mark
    }

    pub(super) fn cut(&mut self, mark: u8) {
        self.len = mark;
    }
}
