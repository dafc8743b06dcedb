//! The route index of an API: from (verb, path) to a method, as AWS chooses it.
//!
//! AWS (measured): among all resources whose path matches, the most specific one that declares the verb or ANY wins,
//! compared from the left, segment by segment: literal before `{name}` before `{name+}`; resources that match but lack
//! the verb are passed over. The verb's own method is before ANY on one resource. One `/` at the end is ignored;
//! `{name+}` does not match an empty rest; `{name}` does not match an empty segment.
//!
//! There is one index per verb, with ANY folded in: they share one arena, and every node knows for which verbs there is
//! something below it, so that a search never enters a branch that the verb's own index would not have.
//!
//! Literals are compared with the segment as sent, then, where it has a `%`, with the segment decoded: `/%70ets` is
//! `/pets`, so that no spelling of a path slips past the method that was meant for it. Captured values stay as sent.
//!
//! Promise: a lookup allocates nothing, and its cost depends on the path, not on the number of routes: the literal
//! children of all nodes stand in one hash table. It enters a node at most once.

mod build;
mod captures;
mod path;

use std::num::NonZeroU32;

use ahash::RandomState;

pub(crate) use self::build::{Conflict, RouteBuilder};
pub use self::captures::{CAPTURES_MAX, Captures};
pub(crate) use self::path::{Segment, segments};
use crate::verb::Verb;

/// The place of a method in `CompiledApi::methods`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodIndex(NonZeroU32);

impl MethodIndex {
    /// The index of the method at `place`.
    ///
    /// # Panics
    /// When there are 2^32 - 1 methods or more: an API's documents do not fit into memory then.
    pub fn new(place: usize) -> Self {
        let above = u32::try_from(place + 1).expect("an API has fewer than 2^32 - 1 methods");
        Self(NonZeroU32::new(above).expect("one more than a place is not zero"))
    }

    /// The place.
    pub fn get(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Finds methods by verb and path.
#[derive(Debug)]
pub struct RouteIndex {
    nodes: Box<[Node]>,
    /// Which method answers each verb, of nodes at which a path ends.
    leaves: Box<[Leaf]>,
    /// Open addressing, at most half full.
    literals: Box<[Slot]>,
    /// The literals' text, one after the other.
    text: Box<str>,
    hasher: RandomState,
}

type Leaf = [Option<MethodIndex>; Verb::ALL.len()];

/// A node other than the root; the root is no one's child.
type NodeId = NonZeroU32;

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    variable: Option<NodeId>,
    greedy: Option<NodeId>,
    /// One more than the place in `leaves`.
    leaf: Option<NonZeroU32>,
    /// Verbs that end here or below, as bits.
    verbs: u8,
    has_literals: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    child: Option<NodeId>,
    parent: u32,
    text_start: u32,
    text_len: u32,
}

/// Longest segment, in bytes as sent, that is compared in decoded form: every byte of the longest literal encoded.
const DECODED_BYTES_MAX: usize = 3 * sluice_model::limits::PATH_PART_CHARS_MAX;

impl RouteIndex {
    /// Returns the method for `path` (as sent, without the query), and sets `captures` to where its variables lie.
    ///
    /// `None`, with `captures` in no useful state, when there is none or the path is longer than 65,535 bytes.
    pub fn find(&self, verb: Verb, path: &str, captures: &mut Captures) -> Option<MethodIndex> {
        captures.clear();
        if path.len() > usize::from(u16::MAX) {
            return None;
        }
        let start = usize::from(path.starts_with('/'));
        let end = if path.len() > start && path.ends_with('/') { path.len() - 1 } else { path.len() };
        // A position behind the end says that there is no segment left; an empty path has none.
        let first = if start >= end { end + 1 } else { start };
        Search { index: self, path: &path.as_bytes()[..end], verb }.below(&self.nodes[0], 0, first, captures)
    }

    /// The node of a literal segment below the node `parent`.
    fn literal(&self, parent: u32, segment: &[u8]) -> Option<NodeId> {
        let mask = self.literals.len() - 1;
        let mut at = self.hash(parent, segment) & mask;
        loop {
            let slot = &self.literals[at];
            let child = slot.child?;
            let text = &self.text.as_bytes()[slot.text_start as usize..][..slot.text_len as usize];
            if slot.parent == parent && text == segment {
                return Some(child);
            }
            at = (at + 1) & mask;
        }
    }

    /// The literal child for a segment as sent.
    fn literal_sent(&self, parent: u32, segment: &[u8]) -> Option<NodeId> {
        let found = self.literal(parent, segment);
        if found.is_some() || !segment.contains(&b'%') || segment.len() > DECODED_BYTES_MAX {
            return found;
        }
        let mut decoded = [0_u8; DECODED_BYTES_MAX];
        let mut len = 0;
        for byte in percent_encoding::percent_decode(segment) {
            decoded[len] = byte;
            len += 1;
        }
        self.literal(parent, &decoded[..len])
    }

    #[expect(clippy::cast_possible_truncation, reason = "a hash may lose its upper bits")]
    fn hash(&self, parent: u32, segment: &[u8]) -> usize {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.hasher.build_hasher();
        hasher.write(segment);
        hasher.write_u32(parent);
        hasher.finish() as usize
    }
}

struct Search<'a> {
    index: &'a RouteIndex,
    /// Without the `/` at its end.
    path: &'a [u8],
    verb: Verb,
}

impl Search<'_> {
    /// Finds the method for the segments from `at` on, below `node`. Recurses once per segment, never deeper than the
    /// longest route.
    fn below(&self, node: &Node, id: u32, at: usize, captures: &mut Captures) -> Option<MethodIndex> {
        if at > self.path.len() {
            return self.ends_at(node);
        }
        let rest = &self.path[at..];
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let next = at + len + 1;
        if node.has_literals
            && let Some(child) = self.index.literal_sent(id, &rest[..len])
            && let Some(found) = self.enter(child, next, captures)
        {
            return Some(found);
        }
        if let Some(child) = node.variable
            && len > 0
        {
            let mark = captures.push(at, len);
            if let Some(found) = self.enter(child, next, captures) {
                return Some(found);
            }
            captures.cut(mark);
        }
        let child = node.greedy.filter(|_| !rest.is_empty())?;
        let mark = captures.push(at, rest.len());
        let found = self.ends_at(&self.index.nodes[child.get() as usize]);
        if found.is_none() {
            captures.cut(mark);
        }
        found
    }

    fn enter(&self, child: NodeId, next: usize, captures: &mut Captures) -> Option<MethodIndex> {
        let node = &self.index.nodes[child.get() as usize];
        if node.verbs & self.verb.bit() == 0 { None } else { self.below(node, child.get(), next, captures) }
    }

    fn ends_at(&self, node: &Node) -> Option<MethodIndex> {
        let leaf = &self.index.leaves[node.leaf?.get() as usize - 1];
        leaf[self.verb as usize]
    }
}
