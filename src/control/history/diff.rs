//! What changed between two texts, line by line, as people read it.

/// Lines around a change that are shown with it.
const CONTEXT: usize = 2;
/// Lines between the first and the last change, on each side, that are compared one by one; beyond it all are shown as changed.
const COMPARED_MAX: usize = 400;

/// Lines that went (`-`), came (`+`) and are around them (two spaces). Empty: nothing changed.
#[must_use]
pub fn diff(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(old, new)| old == new)
        .count();
    let middle = |lines: &[&'_ str]| -> Vec<String> {
        let end = lines.len() - tail;
        lines
            .iter()
            .take(end)
            .skip(head)
            .map(|&line| line.to_owned())
            .collect()
    };
    let (gone, come) = (middle(&old), middle(&new));
    if gone.is_empty() && come.is_empty() {
        return String::new();
    }
    let mut told = String::new();
    let mut tell = |mark: &str, line: &str| {
        told.push_str(mark);
        told.push_str(line);
        told.push('\n');
    };
    for line in old.iter().take(head).skip(head.saturating_sub(CONTEXT)) {
        tell("  ", line);
    }
    for (mark, line) in compared(&gone, &come) {
        tell(mark, line);
    }
    for line in old.iter().skip(old.len() - tail).take(CONTEXT) {
        tell("  ", line);
    }
    told
}

/// The longest common subsequence, as every textbook has it.
fn compared<'t>(gone: &'t [String], come: &'t [String]) -> Vec<(&'static str, &'t str)> {
    let removed = |line: &'t String| ("- ", line.as_str());
    let added = |line: &'t String| ("+ ", line.as_str());
    if gone.len() > COMPARED_MAX || come.len() > COMPARED_MAX {
        return gone.iter().map(removed).chain(come.iter().map(added)).collect();
    }
    let width = come.len() + 1;
    let mut common = vec![0_u32; (gone.len() + 1) * width];
    let at = |common: &[u32], old: usize, new: usize| common.get(old * width + new).copied().unwrap_or(0);
    for (old, line) in gone.iter().enumerate().rev() {
        for (new, other) in come.iter().enumerate().rev() {
            let longest = if line == other {
                at(&common, old + 1, new + 1) + 1
            } else {
                at(&common, old + 1, new).max(at(&common, old, new + 1))
            };
            if let Some(cell) = common.get_mut(old * width + new) {
                *cell = longest;
            }
        }
    }
    let (mut old, mut new) = (0, 0);
    let mut lines = Vec::with_capacity(gone.len() + come.len());
    loop {
        match (gone.get(old), come.get(new)) {
            (Some(line), Some(other)) if line == other => {
                lines.push(("  ", line.as_str()));
                old += 1;
                new += 1;
            }
            (Some(line), other)
                if other.is_none() || at(&common, old + 1, new) >= at(&common, old, new + 1) =>
            {
                lines.push(removed(line));
                old += 1;
            }
            (_, Some(line)) => {
                lines.push(added(line));
                new += 1;
            }
            (Some(_) | None, None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::diff;

    #[test]
    fn a_changed_line_is_shown_with_its_neighbours() {
        let before = "a\nb\nc\nstate = \"enabled\"\nd\ne\nf\n";
        let after = before.replace("enabled", "disabled");
        let told = "  b\n  c\n- state = \"enabled\"\n+ state = \"disabled\"\n  d\n  e\n";
        assert_eq!(diff(before, &after), told);
        assert_eq!(diff(before, before), "");
    }

    fn lines() -> impl Strategy<Value = String> {
        prop::collection::vec("[abc]", 0..12).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn what_went_and_what_came_account_for_both_texts(before in lines(), after in lines()) {
            let told = diff(&before, &after);
            let count = |mark: char| told.lines().filter(|line| line.starts_with(mark)).count();
            let (old, new) = (before.lines().count(), after.lines().count());
            prop_assert_eq!(old + count('+'), new + count('-'));
            prop_assert_eq!(told.is_empty(), before.lines().eq(after.lines()));
        }
    }
}
