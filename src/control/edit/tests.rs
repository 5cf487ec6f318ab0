//! Changing flags' files: what a change makes of a text, and what the editor writes, refuses and remembers.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::{
    Change, Editor, Order, Refused,
    change::{Fields, Point, State, unix_time},
};
use crate::{
    config::Sources,
    control::history::{
        History, Wanted,
        entry::{How, Version},
    },
};

const FLAG: &str = r#"# Who is asked: #checkout
description = "New checkout" # short
variants = ["legacy", "new"]
default = "legacy"

# Staff first.
[[rules]]
if = { in = ["staff", { var = "user.roles" }] }
serve = "new"

[rollout] # slowly
new = 5.0 # since Monday
"#;

#[track_caller]
fn check(fields: &Fields, text: &str, expected: &str) {
    assert_eq!(fields.apply(text).unwrap(), expected);
}

fn share(share: f64) -> Fields {
    Fields {
        share: Some(share),
        ..Fields::default()
    }
}

fn json(value: serde_json::Value) -> Fields {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_ramp_changes_one_number() {
    check(&share(25.0), FLAG, &FLAG.replace("new = 5.0", "new = 25.0"));
    let inline = "variants = { on = true, off = false }\ndefault = \"off\"\nrollout = { on = 5 } # here\n";
    check(&share(0.001), inline, &inline.replace("on = 5 ", "on = 0.001 "));
    let none = "variants = [\"a\", \"b\"]\ndefault = \"a\"\n";
    check(&share(1.0), none, &format!("{none}\n[rollout]\nb = 1.0\n"));
    let three = FLAG.replace("[\"legacy\", \"new\"]", "[\"legacy\", \"new\", \"newer\"]");
    assert!(share(1.0).apply(&three).is_err());
    let both = json(serde_json::json!({ "rollout": { "newer": 2.5, "new": null } }));
    check(
        &both,
        &three,
        &three.replace("new = 5.0 # since Monday", "newer = 2.5"),
    );
}

#[test]
fn a_kill_and_its_end_change_one_word() {
    let killed = Fields::state(State::Disabled).apply(FLAG).unwrap();
    check(
        &Fields::state(State::Disabled),
        FLAG,
        &FLAG.replace(
            "default = \"legacy\"\n",
            "default = \"legacy\"\nstate = \"disabled\"\n",
        ),
    );
    check(
        &Fields::state(State::Enabled),
        &killed,
        &killed.replace("disabled", "enabled"),
    );
}

#[test]
fn other_keys_are_set_and_taken_away() {
    let fields = json(serde_json::json!({
        "description": "Old",
        "set": { "public": true, "epoch": 2, "squad": null, "metadata": { "ticket": "A-1" }, "bucketing": "murmur3-v2" },
    }));
    let before = FLAG.replace("variants", "squad = \"pay\"\nvariants");
    let expected = FLAG.replace("New checkout", "Old").replace(
        "default = \"legacy\"\n",
        "default = \"legacy\"\nbucketing = \"murmur3-v2\"\nepoch = 2\nmetadata = { ticket = \"A-1\" }\npublic = true\n",
    );
    check(&fields, &before, &expected);
    assert!(
        json(serde_json::json!({ "set": { "x": [null] } }))
            .apply(FLAG)
            .is_err()
    );
    assert!(Fields::default().apply("= broken").is_err());
}

fn points() -> Fields {
    let point = |at: &str, share| Point {
        at: at.to_owned(),
        shares: BTreeMap::from([("new".to_owned(), share)]),
    };
    Fields {
        schedule: Some(vec![
            point("2026-12-01T08:00:00.000Z", 25.0),
            point("2026-12-02T08:00:00+09:00", 100.0),
        ]),
        shape: Some("linear".to_owned()),
        ..Fields::default()
    }
}

#[test]
fn a_schedule_is_written_and_a_ramp_ends_it() {
    let scheduled = points().apply(FLAG).unwrap();
    let expected = format!(
        "{FLAG}shape = \"linear\"\n\n[[rollout.schedule]]\nat = 2026-12-01T08:00:00Z\nnew = 25.0\n\n[[rollout.schedule]]\nat = 2026-12-02T08:00:00+09:00\nnew = 100.0\n"
    );
    assert_eq!(scheduled, expected);
    check(&share(5.0), &scheduled, FLAG);
    let inline = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\nrollout = { new = 5.0 }\n";
    let scheduled = points().apply(inline).unwrap();
    assert!(
        scheduled.contains("schedule = [{ at = 2026-12-01T08:00:00Z"),
        "{scheduled}"
    );
    assert!(scheduled.lines().count() == 3, "{scheduled}");
    for wrong in ["tomorrow", "2026-12-01", "2026-12-01T08:00:00"] {
        let mut fields = points();
        fields.schedule.as_mut().unwrap()[0].at = wrong.to_owned();
        assert!(fields.apply(FLAG).is_err(), "{wrong}");
    }
}

#[test]
fn moments_are_read_as_rfc_3339_has_them() {
    for (text, secs) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("2026-11-20T09:08:07Z", 1_795_165_687),
        ("2026-11-20T18:08:07+09:00", 1_795_165_687),
        ("2027-01-01T00:00:00-01:30", 1_798_767_000),
    ] {
        assert_eq!(unix_time(text).unwrap().secs(), secs, "{text}");
    }
    for wrong in ["1969-12-31T23:59:59Z", "2026-11-20", "08:00:00", "now"] {
        assert!(unix_time(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn what_is_not_changed_stays_byte_for_byte(percent in 0_u32..=100_000, twice in 0_u32..=100_000) {
        let (percent, twice) = (f64::from(percent) / 1000.0, f64::from(twice) / 1000.0);
        let once = share(percent).apply(FLAG).unwrap();
        prop_assert_eq!(share(5.0).apply(&once).unwrap(), FLAG);
        prop_assert_eq!(share(twice).apply(&once).unwrap(), share(twice).apply(FLAG).unwrap());
    }
}

const OPERATOR: &str = "hosts = [\"example.com\"]\n[listen]\nhttps = [\"127.0.0.1:0\"]\n";
const ROUTES: &str = "squad = \"shop\"\n[backends.old]\nservers = [\"http://127.0.0.1:1\"]\n[backends.young]\nservers = [\"http://127.0.0.1:2\"]\n[[routes]]\npath = \"/*\"\nflag = \"pay\"\nbackends = { legacy = \"old\", new = \"young\" }\n";
const SET: &str = r#"{"flags": {"knob": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}"#;

struct Site {
    folder: tempfile::TempDir,
    editor: Editor,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["flags", "routes"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (file, text) in [
            ("banyan.toml", OPERATOR),
            ("routes/shop.toml", ROUTES),
            ("flags/pay.toml", FLAG),
            ("flags/set.json", SET),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let editor = Self::editor(folder.path());
        Self { folder, editor }
    }

    fn editor(folder: &Path) -> Editor {
        let sources = Sources::read(folder);
        let history = History::of(&folder.join("state"));
        let editor = Editor::of_files(&folder.join("banyan.toml"), history, sources.clone());
        editor.begin(&sources).unwrap();
        editor
    }

    /// As after a restart.
    fn again(self) -> Self {
        drop(self.editor);
        let editor = Self::editor(self.folder.path());
        Self {
            folder: self.folder,
            editor,
        }
    }

    fn read(&self) -> String {
        fs::read_to_string(self.folder.path().join("flags/pay.toml")).unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("flags/pay.toml"), text).unwrap();
    }

    fn version(&self) -> Version {
        Version::of(Some(&self.read()))
    }

    fn change(&self, version: Option<Version>, change: Change) -> Result<super::Done, Refused> {
        self.editor
            .change(&order("pay", "flags/pay.toml", version, change))
    }

    /// Who, how and with which version the file was left, the oldest first.
    fn told(&self) -> Vec<(String, How, Version)> {
        let wanted = Wanted {
            limit: 100,
            ..Wanted::default()
        };
        let (entries, _) = self.editor.history().entries(&wanted).unwrap();
        let told = entries
            .into_iter()
            .rev()
            .map(|entry| (entry.deed.who, entry.deed.how, entry.after.version));
        told.collect()
    }
}

fn order(flag: &str, file: &str, version: Option<Version>, change: Change) -> Order {
    Order {
        flag: flag.to_owned(),
        file: file.to_owned(),
        version,
        change,
        who: "mina".to_owned(),
        how: How::Api,
        reason: "a test".to_owned(),
    }
}

fn fields(fields: Fields) -> Change {
    Change::Fields(Box::new(fields))
}

fn undo(entry: Option<u64>, and_after: bool) -> Change {
    Change::Undo { entry, and_after }
}

#[test]
fn a_change_is_written_and_remembered_and_taken_back() {
    let site = Site::new();
    let done = site.change(Some(site.version()), fields(share(25.0))).unwrap();
    assert_eq!((done.entry, done.changed), (Some(1), true));
    assert_eq!(done.version, site.version());
    assert!(site.read().contains("new = 25.0 # since Monday"));
    let again = site.change(Some(site.version()), fields(share(25.0))).unwrap();
    assert_eq!((again.entry, again.changed), (None, false));
    site.change(Some(site.version()), undo(None, false)).unwrap();
    assert_eq!(site.read(), FLAG);
    site.change(None, undo(None, false)).unwrap();
    assert!(site.read().contains("new = 25.0"), "an undo can be undone");
    assert_eq!(site.told().len(), 3);
    let site = site.again();
    assert_eq!(site.told().len(), 3, "nobody saved anything");
}

#[test]
fn two_changes_that_meet_are_shown_to_the_second() {
    let site = Site::new();
    let seen = site.version();
    site.change(Some(seen.clone()), fields(share(25.0))).unwrap();
    let theirs = site.read();
    let refused = site.change(Some(seen.clone()), fields(share(50.0))).unwrap_err();
    let Refused::Clash(clash) = refused else {
        panic!("{refused}");
    };
    assert_eq!((clash.given, clash.now), (Some(seen), Version::of(Some(&theirs))));
    assert_eq!(clash.theirs.as_deref(), Some(theirs.as_str()));
    assert_eq!(clash.yours, Some(FLAG.replace("5.0", "50.0")));
    assert_eq!(clash.last.unwrap().deed.who, "mina");
    assert_eq!(site.read(), theirs);
}

#[test]
fn an_older_change_is_taken_back_only_with_what_came_after_it() {
    let site = Site::new();
    site.change(None, fields(share(25.0))).unwrap();
    site.change(None, fields(share(50.0))).unwrap();
    assert!(matches!(
        site.change(None, undo(Some(1), false)),
        Err(Refused::Clash(_))
    ));
    site.change(None, undo(Some(1), true)).unwrap();
    assert_eq!(site.read(), FLAG);
    assert!(matches!(
        site.change(None, undo(Some(9), true)),
        Err(Refused::Unfit(..))
    ));
}

#[test]
fn a_change_that_would_be_refused_is_not_written() {
    let site = Site::new();
    let refused = site.change(None, fields(share(125.0))).unwrap_err();
    let Refused::Invalid(file, problems) = refused else {
        panic!("{refused}");
    };
    assert_eq!(file, "flags/pay.toml");
    assert!(problems.iter().all(crate::config::Problem::is_error));
    let gone = json(serde_json::json!({ "set": { "variants": ["legacy"] } }));
    assert!(matches!(
        site.change(None, fields(gone)),
        Err(Refused::Invalid(..))
    ));
    assert_eq!(site.read(), FLAG);
    assert!(site.told().is_empty());
}

#[test]
fn somebody_elses_broken_file_keeps_nobody_from_a_kill() {
    let site = Site::new();
    fs::write(site.folder.path().join("routes/other.toml"), "= broken").unwrap();
    site.change(None, fields(Fields::state(State::Disabled))).unwrap();
    assert!(site.read().contains("state = \"disabled\""));
}

#[test]
fn what_an_editor_saved_is_remembered_also_while_nothing_ran() {
    let site = Site::new();
    site.change(None, fields(share(25.0))).unwrap();
    site.write(FLAG);
    site.editor.look_at(&["flags/pay.toml".to_owned()]);
    site.editor.look_at(&["flags/pay.toml".to_owned()]);
    site.write(&FLAG.replace("5.0", "6.0"));
    let site = site.again();
    let hows: Vec<How> = site.told().iter().map(|(_, how, _)| *how).collect();
    assert_eq!(hows, [How::Api, How::File, How::File]);
    assert_eq!(site.told()[2].2, site.version());
    site.write(&FLAG.replace("5.0", "7.0"));
    site.change(None, fields(share(8.0))).unwrap();
    assert_eq!(
        site.told().len(),
        5,
        "what was saved just before an order is not the order's"
    );
    fs::remove_file(site.folder.path().join("flags/pay.toml")).unwrap();
    site.editor.look_at(&["flags/pay.toml".to_owned()]);
    site.change(None, undo(None, false)).unwrap();
    assert!(
        site.read().contains("new = 8.0"),
        "a file that is gone comes back"
    );
}

#[test]
fn a_flag_of_a_set_is_killed_and_nothing_else_of_it_changes() {
    let site = Site::new();
    let of_set = |change| site.editor.change(&order("knob", "flags/set.json", None, change));
    let done = of_set(fields(Fields::state(State::Disabled))).unwrap();
    assert_eq!(done.text, SET.replace("ENABLED", "DISABLED"));
    let refused = of_set(fields(share(5.0))).unwrap_err().to_string();
    assert!(refused.contains("only the state"), "{refused}");
    let file = site.folder.path().join("flags/set.json");
    fs::write(&file, SET).unwrap();
    site.editor.look_at(&["flags/set.json".to_owned()]);
    let wanted = Wanted {
        flag: Some("knob"),
        limit: 9,
        ..Wanted::default()
    };
    let (entries, _) = site.editor.history().entries(&wanted).unwrap();
    assert_eq!(entries.len(), 2, "the only flag that differs is named");
}

#[test]
fn without_a_history_nothing_is_changed() {
    let site = Site::new();
    let sources = Sources::read(site.folder.path());
    let second = Editor::of_files(
        &site.folder.path().join("banyan.toml"),
        History::of(&site.folder.path().join("state")),
        sources,
    );
    let refused = second.change(&order("pay", "flags/pay.toml", None, fields(share(25.0))));
    assert!(matches!(refused, Err(Refused::History(_))));
    assert_eq!(site.read(), FLAG);
}

#[test]
fn many_changes_at_once_leave_one_story() {
    let site = Site::new();
    let won: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u32)
            .map(|thread| {
                let site = &site;
                scope.spawn(move || {
                    let tries = (0..10_u32).filter(|change| {
                        let percent = f64::from(thread * 10 + change) + 0.5;
                        site.change(Some(site.version()), fields(share(percent))).is_ok()
                    });
                    tries.count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let told = site.told();
    assert_eq!(
        told.len(),
        won,
        "each change that was told to be made, and no other"
    );
    assert!(won >= 10);
    assert_eq!(told.last().unwrap().2, site.version());
    let wanted = Wanted {
        limit: 100,
        ..Wanted::default()
    };
    let (entries, _) = site.editor.history().entries(&wanted).unwrap();
    for pair in entries.windows(2) {
        assert_eq!(
            pair[0].before, pair[1].after,
            "each begins where the one before it ended"
        );
    }
}
