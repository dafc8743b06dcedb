//! Building a route index.

use std::num::NonZeroU32;

use ahash::{AHashMap, RandomState};

use super::{Leaf, MethodIndex, Node, NodeId, RouteIndex, Segment, Slot};
use crate::verb::{MethodVerb, Verb};

/// Fixed: the same routes make the same index everywhere. Requests put nothing into the table, so that keys which
/// everyone knows cannot be used to fill it.
const SEEDS: [u64; 4] = [0x51_1c_e0_01, 0x51_1c_e0_02, 0x51_1c_e0_03, 0x51_1c_e0_04];

/// Collects routes.
pub(crate) struct RouteBuilder<'a> {
    nodes: Vec<BuildNode>,
    literals: AHashMap<(u32, &'a str), NodeId>,
}

#[derive(Default)]
struct BuildNode {
    node: Node,
    parent: u32,
    exact: Leaf,
    any: Option<MethodIndex>,
    variable_name: Option<Box<str>>,
}

/// Why a route was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// This method has the same verb, and its path matches the same requests.
    With(MethodIndex),
}

impl<'a> RouteBuilder<'a> {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![BuildNode::default()], literals: AHashMap::new() }
    }

    /// Adds a path, without a method yet; returns its node. The second value is the name that a sibling gave to the
    /// first variable that is named otherwise here.
    pub(crate) fn path(&mut self, segments: &[Segment<'a>]) -> (u32, Option<Box<str>>) {
        let (mut at, mut other_name) = (0, None);
        for segment in segments {
            let known = match segment {
                Segment::Literal(text) => self.literals.get(&(at, *text)).copied(),
                Segment::Variable(_) => self.nodes[at as usize].node.variable,
                Segment::Greedy(_) => self.nodes[at as usize].node.greedy,
            };
            at = match known {
                Some(id) => id.get(),
                None => self.add(at, segment),
            };
            let named = &self.nodes[at as usize].variable_name;
            if segment.variable().is_some() && segment.variable() != named.as_deref() && other_name.is_none() {
                other_name.clone_from(named);
            }
        }
        (at, other_name)
    }

    fn add(&mut self, parent: u32, segment: &Segment<'a>) -> u32 {
        let index = u32::try_from(self.nodes.len()).expect("an API has fewer than 2^32 nodes");
        let id = NonZeroU32::new(index).expect("the root is there");
        let variable_name = segment.variable().map(Into::into);
        self.nodes.push(BuildNode { parent, variable_name, ..BuildNode::default() });
        let node = &mut self.nodes[parent as usize].node;
        match segment {
            Segment::Literal(text) => {
                node.has_literals = true;
                self.literals.insert((parent, *text), id);
            }
            Segment::Variable(_) => node.variable = Some(id),
            Segment::Greedy(_) => node.greedy = Some(id),
        }
        index
    }

    /// Adds a method at a node.
    pub(crate) fn method(&mut self, node: u32, verb: MethodVerb, method: MethodIndex) -> Result<(), Conflict> {
        let node = &mut self.nodes[node as usize];
        let place = match verb {
            MethodVerb::Exact(verb) => &mut node.exact[verb as usize],
            MethodVerb::Any => &mut node.any,
        };
        match *place {
            Some(there) => Err(Conflict::With(there)),
            None => {
                *place = Some(method);
                Ok(())
            }
        }
    }

    pub(crate) fn build(mut self) -> RouteIndex {
        let leaves = self.fold_any();
        self.sum_verbs();
        let slots = (self.literals.len() * 2).next_power_of_two().max(2);
        let mut index = RouteIndex {
            nodes: self.nodes.iter().map(|built| built.node).collect(),
            leaves,
            literals: vec![Slot::default(); slots].into(),
            text: Box::default(),
            hasher: RandomState::with_seeds(SEEDS[0], SEEDS[1], SEEDS[2], SEEDS[3]),
        };
        let mut literals: Vec<_> = self.literals.into_iter().collect();
        literals.sort_unstable_by_key(|(_, child)| *child);
        let mut text = String::with_capacity(literals.iter().map(|((_, literal), _)| literal.len()).sum());
        for ((parent, literal), child) in literals {
            let length = |len: usize| u32::try_from(len).expect("literals are less than 4 GiB");
            let slot =
                Slot { child: Some(child), parent, text_start: length(text.len()), text_len: length(literal.len()) };
            text.push_str(literal);
            let mut at = index.hash(parent, literal.as_bytes()) & (slots - 1);
            while index.literals[at].child.is_some() {
                at = (at + 1) & (slots - 1);
            }
            index.literals[at] = slot;
        }
        index.text = text.into();
        index
    }

    /// Gives ANY's method to the verbs that have none of their own.
    fn fold_any(&mut self) -> Box<[Leaf]> {
        let mut leaves = Vec::new();
        for built in &mut self.nodes {
            let leaf: Leaf = built.exact.map(|method| method.or(built.any));
            if leaf.iter().any(Option::is_some) {
                leaves.push(leaf);
                built.node.leaf = u32::try_from(leaves.len()).ok().and_then(NonZeroU32::new);
            }
            for verb in Verb::ALL.iter().filter(|verb| leaf[**verb as usize].is_some()) {
                built.node.verbs |= verb.bit();
            }
        }
        leaves.into()
    }

    /// A child comes after its parent, so that one pass from the end carries verbs up to the root.
    fn sum_verbs(&mut self) {
        for at in (1..self.nodes.len()).rev() {
            let (verbs, parent) = (self.nodes[at].node.verbs, self.nodes[at].parent);
            self.nodes[parent as usize].node.verbs |= verbs;
        }
    }
}
