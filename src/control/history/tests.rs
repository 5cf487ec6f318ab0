//! The history: what it keeps, what a crash leaves, and its bounds.

use super::{
    ENTRIES_MAX, History, Wanted,
    entry::{Deed, Entry, How, Text},
};
use crate::clock::UnixTime;

const FILE: &str = "flags/pay.toml";

struct Kept {
    folder: tempfile::TempDir,
    history: History,
}

impl Kept {
    /// A history that knows `text` as the file's.
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let history = History::of(folder.path());
        history
            .begin_with([(FILE, Text::of(Some(text)))].into_iter())
            .unwrap();
        Self { folder, history }
    }

    /// As after a crash.
    fn again(self) -> Self {
        drop(self.history);
        let history = History::of(self.folder.path());
        Self {
            folder: self.folder,
            history,
        }
    }

    fn order(&self, who: &str, before: &str, after: &str) {
        self.history
            .begin(
                &deed(who, How::Api),
                &Text::of(Some(before)),
                &Text::of(Some(after)),
            )
            .unwrap();
    }

    fn settle(&self, now: Option<&str>) -> Option<u64> {
        let saved = |_: &Text| deed("file", How::File);
        self.history.settle(FILE, &Text::of(now), saved).unwrap()
    }

    fn all(&self) -> Vec<Entry> {
        let wanted = Wanted {
            limit: usize::MAX,
            ..Wanted::default()
        };
        self.history.entries(&wanted).unwrap().0
    }

    /// Who and the text after, the oldest first.
    #[track_caller]
    fn check(&self, expected: &[(&str, &str, &str)]) {
        let all = self.all();
        let told: Vec<(&str, &str, &str)> = all
            .iter()
            .rev()
            .map(|entry| {
                (
                    entry.deed.who.as_str(),
                    entry.before.text.as_deref().unwrap_or("-"),
                    entry.after.text.as_deref().unwrap_or("-"),
                )
            })
            .collect();
        assert_eq!(told, expected);
    }
}

fn deed(who: &str, how: How) -> Deed {
    Deed::new(UnixTime::from_secs(7), "pay", FILE, who, how, "")
}

#[test]
fn an_order_is_remembered_with_what_was_before_and_after() {
    let kept = Kept::with("1");
    kept.order("mina", "1", "2");
    assert_eq!(kept.history.complete(FILE).unwrap(), Some(1));
    let kept = kept.again();
    kept.check(&[("mina", "1", "2")]);
    assert_eq!(kept.settle(Some("2")), None, "nobody saved it");
    assert!(!kept.history.begin_with(std::iter::empty()).unwrap());
    assert_eq!(kept.history.complete(FILE).unwrap(), None, "only once");
}

#[test]
fn a_crash_after_the_file_was_replaced_loses_nothing() {
    let kept = Kept::with("1");
    kept.order("mina", "1", "2");
    let kept = kept.again();
    kept.check(&[]);
    assert_eq!(kept.settle(Some("2")), Some(1));
    kept.check(&[("mina", "1", "2")]);
    assert_eq!(kept.settle(Some("2")), None);
}

#[test]
fn a_crash_before_the_file_was_replaced_leaves_nothing() {
    let kept = Kept::with("1");
    kept.order("mina", "1", "2");
    let kept = kept.again();
    assert_eq!(kept.settle(Some("1")), None);
    kept.check(&[]);
    assert_eq!(kept.settle(Some("2")), Some(1), "this is not mina's any longer");
    kept.check(&[("file", "1", "2")]);
}

#[test]
fn a_file_that_was_saved_after_the_crash_is_a_change_of_its_own() {
    let kept = Kept::with("1");
    kept.order("mina", "1", "2");
    let kept = kept.again();
    assert_eq!(kept.settle(Some("3")), Some(1));
    kept.check(&[("file", "1", "3")]);
}

#[test]
fn an_intent_that_could_not_be_completed_is_found_by_the_next_order() {
    let kept = Kept::with("1");
    kept.order("mina", "1", "2");
    kept.order("jo", "2", "3");
    kept.history.complete(FILE).unwrap();
    kept.check(&[("mina", "1", "2"), ("jo", "2", "3")]);
}

#[test]
fn files_that_come_and_go_are_changes() {
    let kept = Kept::with("1");
    assert_eq!(kept.settle(None), Some(1));
    assert_eq!(kept.settle(None), None);
    assert_eq!(kept.settle(Some("2")), Some(2));
    kept.check(&[("file", "1", "-"), ("file", "-", "2")]);
    assert!(!kept.all()[1].after.is_file());
    assert_eq!(kept.history.files().unwrap(), [FILE]);
}

#[test]
fn entries_are_found_by_flag_file_and_number() {
    let kept = Kept::with("0");
    for change in 1..=5 {
        kept.settle(Some(&change.to_string()));
    }
    let ids = |wanted: &Wanted<'_>| {
        let (entries, more) = kept.history.entries(wanted).unwrap();
        (entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), more)
    };
    let wanted = |flag, file, before, limit| Wanted {
        flag,
        file,
        before,
        limit,
        bytes: 0,
    };
    assert_eq!(ids(&wanted(None, None, None, 2)), (vec![5, 4], true));
    assert_eq!(ids(&wanted(Some("pay"), None, Some(3), 9)), (vec![2, 1], false));
    assert_eq!(ids(&wanted(Some("other"), None, None, 9)), (vec![], false));
    assert_eq!(ids(&wanted(Some("other"), Some(FILE), None, 1)), (vec![5], true));
    let few_bytes = Wanted {
        bytes: 5,
        ..wanted(None, None, None, 9)
    };
    assert_eq!(ids(&few_bytes), (vec![5, 4], true));
    assert_eq!(kept.history.entry(3).unwrap().unwrap().id, 3);
    assert_eq!(kept.history.entry(6).unwrap(), None);
}

#[test]
fn the_oldest_leave_when_texts_are_too_many_bytes() {
    let kept = Kept::with("");
    let long = |mark: usize| format!("{mark:04}{}", "x".repeat(super::entry::TEXT_BYTES_MAX - 4));
    for change in 1..=140 {
        kept.settle(Some(&long(change)));
    }
    let all = kept.all();
    let bytes: usize = all
        .iter()
        .map(|entry| {
            [&entry.before, &entry.after]
                .iter()
                .filter_map(|text| text.text.as_ref().map(String::len))
                .sum::<usize>()
        })
        .sum();
    assert!(
        bytes as u64 <= super::BYTES_MAX && all.len() == 128,
        "{bytes} {}",
        all.len()
    );
    assert_eq!(all[0].id, 140);
}

#[test]
fn the_oldest_leave_when_changes_are_too_many() {
    let kept = Kept::with("");
    for change in 1..=ENTRIES_MAX + 5 {
        kept.settle(Some(&change.to_string()));
    }
    let all = kept.all();
    assert_eq!(all.len() as u64, ENTRIES_MAX);
    assert_eq!(all.last().unwrap().id, 6);
    assert_eq!(kept.history.entry(5).unwrap(), None);
}

#[test]
fn a_history_that_is_open_elsewhere_says_so_until_it_is_not() {
    let kept = Kept::with("1");
    let second = History::of(kept.folder.path());
    let told = second.usable().unwrap_err().to_string();
    assert!(told.contains("another program has it open"), "{told}");
    drop(kept.history);
    second.usable().unwrap();
}

#[test]
fn a_damaged_history_is_an_error_and_no_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("history.redb"), "no history at all").unwrap();
    let history = History::of(folder.path());
    assert!(history.usable().is_err() && history.files().is_err());
    assert!(History::of(std::path::Path::new("/dev/null")).usable().is_err());
}
