//! The slow tier: what a build of its own shows.

use std::process::{Command, Stdio};

use sluice_e2e::process::Process;

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_what_it_says() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/demo.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg("--once").stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null());
    // What the build of the tests was told is not meant for the build of the demo.
    command.env_remove("SLUICE_CONTROL");
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let process = Process::adopt("demo.sh", child);
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut output, &mut text).map(|_| text)
    });
    let text = text.await.unwrap().unwrap();
    assert_eq!(process.wait(), Some(0), "{text}");
    assert!(text.contains("429"), "the tour shows a throttled request:\n{text}");
}
