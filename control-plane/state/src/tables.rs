//! The ordered key-value store that the state machine reads: a trait, so that a simulation can replace RocksDB.

/// Rows of a scan, in its order: key and value.
pub type Rows<'a> = Box<dyn Iterator<Item = (Vec<u8>, Vec<u8>)> + 'a>;

/// An ordered key-value store at one instant.
///
/// Reads do not fail: an implementation over a disk stops the process when a read fails, since a state machine that
/// goes on without knowing its state diverges.
pub trait Tables {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// The rows from `from` (inclusive) to `to` (exclusive), ascending.
    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a>;

    /// The rows from `from` (inclusive) to `to` (exclusive), descending.
    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a>;
}

impl<T: Tables + ?Sized> Tables for &T {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        (**self).get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        (**self).scan(from, to)
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        (**self).scan_back(from, to)
    }
}

impl<T: Tables + ?Sized> Tables for std::sync::Arc<T> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        (**self).get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        (**self).scan(from, to)
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        (**self).scan_back(from, to)
    }
}

/// The first key after all keys that begin with `prefix`; empty when there is none, as for an empty prefix.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end;
        }
        end.pop();
    }
    end
}
