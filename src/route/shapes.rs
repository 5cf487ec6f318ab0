//! Templates by shape, the most specific first: a static segment beats `{name}`, which beats `/*`, from left to right.
//!
//! Templates that differ only in their names share a shape, and a shape is a group of routes. `matchit` answers nearly every
//! request; only when the conditions of a whole group fail is the tree of segments walked for the next group.

use std::{collections::HashMap, ops::ControlFlow};

use super::template::{Segment, Template, next_segment};

/// A shape's number.
pub(super) type Group = u32;

/// The tree of all shapes.
#[derive(Debug)]
pub(super) struct Shapes {
    nodes: Vec<Node>,
    groups: u32,
    most_specific: matchit::Router<Group>,
}

/// What may follow the segments that lead here.
#[derive(Debug, Default)]
struct Node {
    fixed: HashMap<Box<str>, usize>,
    param: Option<usize>,
    /// The template that ends here.
    end: Option<Group>,
    /// The template that goes on with `/*`.
    rest: Option<Group>,
}

const ROOT: usize = 0;

/// What is left to visit of a tree: a node, or the `/*` of one whose children have been visited.
enum Visit {
    Node(usize),
    Rest(Group),
}

impl Shapes {
    /// No template at all.
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            groups: 0,
            most_specific: matchit::Router::new(),
        }
    }

    /// The group of a template; a new one when its shape is new.
    pub(super) fn group(&mut self, template: &Template) -> Group {
        let at = template
            .segments()
            .iter()
            .fold(ROOT, |at, segment| self.child(at, segment));
        let next = self.groups;
        let Some(node) = self.nodes.get_mut(at) else {
            return next;
        };
        let slot = if template.takes_rest() {
            &mut node.rest
        } else {
            &mut node.end
        };
        let group = *slot.get_or_insert(next);
        self.groups = self.groups.max(group + 1);
        group
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            return at;
        };
        let child = match segment {
            Segment::Static(text) => *node.fixed.entry(text.clone()).or_insert(fresh),
            Segment::Param(_) => *node.param.get_or_insert(fresh),
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Prepares for lookups, once all templates have their groups.
    pub(super) fn finish(&mut self) {
        let mut entries = Vec::new();
        let mut path = String::new();
        self.entries(ROOT, None, &mut path, &mut entries);
        for (path, group) in entries {
            // refused only for two equal paths, and each is made once
            let inserted = self.most_specific.insert(path, group);
            debug_assert!(inserted.is_ok(), "{inserted:?}");
        }
    }

    /// What `matchit` must know below a node. It refuses `{name}` beside `/*`, so a `/*` moves down into its `{name}`
    /// neighbour; the one at the root stays out, being what is left when nothing else takes a path.
    fn entries(
        &self,
        at: usize,
        passed_down: Option<Group>,
        path: &mut String,
        out: &mut Vec<(String, Group)>,
    ) {
        let Some(node) = self.nodes.get(at) else { return };
        let rest = if at == ROOT {
            None
        } else {
            node.rest.or(passed_down)
        };
        if let Some(group) = node.end.or(rest) {
            out.push((path.clone(), group));
        }
        let length = path.len();
        path.push('/');
        if let Some(group) = rest {
            if !node.fixed.contains_key("") {
                out.push((path.clone(), group));
            }
            if node.param.is_none() {
                out.push((format!("{path}{{*rest}}"), group));
            }
        }
        for (text, child) in &node.fixed {
            path.push_str(&text.replace('{', "{{").replace('}', "}}"));
            // below "" nothing but a `/*` of its own can follow, and canonical paths never lead there
            self.entries(*child, None, path, out);
            path.truncate(length + 1);
        }
        if let Some(child) = node.param {
            path.push_str("{name}");
            self.entries(child, rest, path, out);
        }
        path.truncate(length);
    }

    /// The most specific group that takes a canonical path.
    pub(super) fn most_specific(&self, path: &str) -> Option<Group> {
        match self.most_specific.at(path) {
            Ok(found) => Some(*found.value),
            Err(_) if path.starts_with('/') => self.nodes.first()?.rest,
            Err(_) => None,
        }
    }

    /// Visits every group that takes a canonical path, the most specific first, until `visit` breaks.
    pub(super) fn walk<B>(
        &self,
        path: &str,
        mut visit: impl FnMut(Group) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match path.strip_prefix('/') {
            Some(left) => self.walk_from(ROOT, Some(left), &mut visit),
            None => ControlFlow::Continue(()),
        }
    }

    /// Every group, so that of two that take one path the one visited first comes first.
    pub(super) fn in_order(&self) -> Vec<Group> {
        let mut order = Vec::new();
        let mut left = vec![Visit::Node(ROOT)];
        while let Some(visit) = left.pop() {
            let node = match visit {
                Visit::Rest(group) => {
                    order.push(group);
                    continue;
                }
                Visit::Node(at) => self.nodes.get(at),
            };
            let Some(node) = node else { continue };
            order.extend(node.end);
            left.extend(node.rest.map(Visit::Rest));
            left.extend(node.param.map(Visit::Node));
            let mut fixed: Vec<_> = node.fixed.iter().collect();
            fixed.sort_unstable_by(|a, b| b.cmp(a));
            left.extend(fixed.into_iter().map(|(_, child)| Visit::Node(*child)));
        }
        order
    }

    /// Each node is met at most once, since its depth says how much of the path is left.
    fn walk_from<B>(
        &self,
        at: usize,
        left: Option<&str>,
        visit: &mut impl FnMut(Group) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(node) = self.nodes.get(at) else {
            return ControlFlow::Continue(());
        };
        match left {
            None => {
                if let Some(group) = node.end {
                    visit(group)?;
                }
            }
            Some(left) => {
                let (head, tail) = next_segment(left);
                if let Some(child) = node.fixed.get(head) {
                    self.walk_from(*child, tail, visit)?;
                }
                if let Some(child) = node.param.filter(|_| !head.is_empty()) {
                    self.walk_from(child, tail, visit)?;
                }
            }
        }
        match node.rest {
            Some(group) => visit(group),
            None => ControlFlow::Continue(()),
        }
    }
}
