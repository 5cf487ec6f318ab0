//! Byte offsets of a text as lines and columns.

use std::ops::Range;

/// Where each line of a text starts.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    starts: Vec<usize>,
    end: usize,
}

impl Lines {
    /// Measures `text` once.
    pub(super) fn of(text: &str) -> Self {
        let after_breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(after_breaks).collect(),
            end: text.len(),
        }
    }

    /// Line of an offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> u32 {
        let line = self.starts.partition_point(|start| *start <= offset);
        u32::try_from(line.max(1)).unwrap_or(u32::MAX)
    }

    /// Line and column (in characters) of an offset, both counted from 1.
    pub(super) fn position(&self, text: &str, offset: usize) -> (u32, u32) {
        let line = self.line(offset);
        let before = text
            .get(self.start(line)..offset)
            .map_or(0, |before| before.chars().count());
        (line, u32::try_from(before + 1).unwrap_or(u32::MAX))
    }

    /// The text of a line, without its end.
    pub(super) fn text<'t>(&self, text: &'t str, line: u32) -> &'t str {
        text.get(self.start(line)..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default()
    }

    /// Bytes of a line, without its end.
    pub(super) fn span(&self, line: u32) -> Range<usize> {
        let start = self.start(line).min(self.end);
        let next = self.start(line.saturating_add(1));
        start..next.saturating_sub(1).clamp(start, self.end)
    }

    fn start(&self, line: u32) -> usize {
        let at = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.starts.get(at).copied().unwrap_or(usize::MAX)
    }
}
