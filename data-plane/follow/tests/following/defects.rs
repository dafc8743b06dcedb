//! A defect that is met over a row of no API: what was served stays, and the control node hears why.

use super::*;

#[test]
fn a_panic_over_a_plan_keeps_what_was_served_until_the_plan_is_gone() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let good = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (follower, mut session) = begun(&mut control, folder.path(), &good).await;
        let cell = follower.cell();

        let poisoned = good.put(Table::Plan, b"plan2", plan(POISON));
        session.delta(&good, &poisoned).await;
        let applied = session.applied().await;
        assert_eq!(applied.revision, Some(poisoned.revision()), "it is held, so that the next delta fits");
        let why = &applied.not_compiled[0];
        assert_eq!(why.code, "compile-panicked");
        assert!(why.message.contains("fail point") && !why.hint.is_empty(), "{why:?}");
        assert_eq!(served(&cell), Some(good.number));

        let worse = poisoned.put(Table::KeyView, b"k", key("k", 1));
        session.delta(&poisoned, &worse).await;
        assert!(!session.applied().await.not_compiled.is_empty());
        assert_eq!((served(&cell), cell.load().unwrap().snapshot.key_count()), (Some(good.number), 0));

        let mended = worse.without(Table::Plan, b"plan2");
        session.delta(&worse, &mended).await;
        assert!(session.applied().await.not_compiled.is_empty());
        let now = cell.load().unwrap().snapshot;
        assert_eq!((now.revision.number, now.key_count()), (mended.number, 1), "also what came in between");
        follower.stop().await;
    });
}

#[test]
fn a_copy_over_which_compiling_panics_serves_nothing_until_it_is_mended() {
    run(async {
        let (folder, mut control) = (tempfile::tempdir().unwrap(), FakeControl::start().await);
        let good = State::new(5).put(Table::Plan, b"plan1", plan("plan1"));
        let (running, mut session) = begun(&mut control, folder.path(), &good).await;
        let poisoned = good.put(Table::Plan, b"plan2", plan(POISON));
        session.delta(&good, &poisoned).await;
        session.applied().await;
        running.stop().await;

        let again = follower(folder.path(), &[]);
        let mut session = control.welcomed().await;
        assert_eq!(session.hello.revision, Some(poisoned.revision()));
        assert!(!session.applied().await.not_compiled.is_empty());
        assert!(again.cell().load().is_none());
        let mended = poisoned.without(Table::Plan, b"plan2");
        session.delta(&poisoned, &mended).await;
        assert!(session.applied().await.not_compiled.is_empty());
        assert_eq!(served(&again.cell()), Some(mended.number));
        again.stop().await;
    });
}
