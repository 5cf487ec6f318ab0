//! What becomes of a layer when one of its flags can't be used.

use crate::{
    config::{Isolated, Sources, isolate},
    flag::{Flag, Flags},
};

const OPERATOR: &str =
    "listen.admin = \"127.0.0.1:0\"\n[layers.checkout]\nflags = { pay = 50.0, cart = 50.0 }\n";
const MEMBER: &str =
    "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\nlayer = \"checkout\"\n[rollout]\nnew = 100\n";

fn site(pay: &str) -> Sources {
    Sources::empty("/site")
        .with("banyan.toml", OPERATOR)
        .with("flags/cart.toml", MEMBER)
        .with("flags/pay.toml", pay)
}

/// The flags that serve, with their places in the layer.
fn served(isolated: &Isolated) -> Vec<(String, u32, u32)> {
    let settings = isolated.settings.as_ref().expect("something serves");
    let flags = settings
        .flags
        .iter()
        .cloned()
        .map(|flag| Flag::compile(flag).unwrap());
    let flags = Flags::build_in(&settings.edge.layers, flags.collect()).unwrap();
    let placed = flags.iter().filter_map(|(_, flag)| {
        let (_, range) = flag.layer()?;
        Some((flag.key().to_string(), range.start, range.end))
    });
    placed.collect()
}

/// At the first start there is no version of a broken file to fall back on, and the layer that lists it is the operator's file.
#[test]
fn a_broken_flag_does_not_stop_the_start_nor_move_the_others() {
    let first = isolate(
        &site("variants = [\"legacy\"\n"),
        &Sources::empty("/site"),
        &|_| None,
    );
    assert_eq!(first.left_out, ["flags/pay.toml"]);
    assert_eq!(served(&first), [("cart".to_owned(), 50_000, 100_000)]);
    let mended = isolate(&site(MEMBER), &first.sources, &|_| None);
    assert!(mended.left_out.is_empty() && mended.using_old.is_empty());
    let both = [
        ("cart".to_owned(), 50_000, 100_000),
        ("pay".to_owned(), 0, 50_000),
    ];
    assert_eq!(served(&mended), both);
    let broken = isolate(&site("oops"), &mended.sources, &|_| None);
    assert_eq!(broken.using_old, ["flags/pay.toml"]);
    assert_eq!(served(&broken), both);
}

/// A flag that a layer lists is not taken away: the last version stays until the layer lets it go.
#[test]
fn a_flag_that_a_layer_lists_stays() {
    let first = isolate(&site(MEMBER), &Sources::empty("/site"), &|_| None);
    let mut without = site(MEMBER);
    without.remove("flags/pay.toml");
    let kept = isolate(&without, &first.sources, &|_| None);
    assert_eq!(kept.using_old, ["flags/pay.toml"]);
    assert_eq!(served(&kept).len(), 2);
    assert!(kept.problems.has_errors());
}
