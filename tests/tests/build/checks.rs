//! Every check of a Dockerfile, found by `--check`.

use corten_tests::engine::Engine;
use corten_tests::images::{Dialect, TestImage, TestLayer};

use crate::{context, engine};

/// A check, and a Dockerfile that it finds something in.
const CHECKS: [(&str, &str); 20] = [
    ("StageNameCasing", "FROM busybox AS Base\n"),
    ("FromAsCasing", "FROM busybox as base\n"),
    ("NoEmptyContinuation", "FROM busybox\nRUN true \\\n\n  && true\n"),
    ("ConsistentInstructionCasing", "FROM busybox\nrun true\n"),
    ("DuplicateStageName", "FROM busybox AS x\nFROM busybox AS x\n"),
    ("ReservedStageName", "FROM busybox AS context\n"),
    ("JSONArgsRecommended", "FROM busybox\nCMD echo hi\n"),
    ("MaintainerDeprecated", "FROM busybox\nMAINTAINER me@example.com\n"),
    ("UndefinedArgInFrom", "ARG VARIANT=1\nFROM busybox:$VARAINT\n"),
    ("WorkdirRelativePath", "FROM busybox\nWORKDIR app\n"),
    ("UndefinedVar", "FROM scratch\nCOPY $nosuch /\n"),
    (
        "MultipleInstructionsDisallowed",
        "FROM busybox\nCMD [\"a\"]\nCMD [\"b\"]\n",
    ),
    ("LegacyKeyValueFormat", "FROM busybox\nENV A 1\n"),
    ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM busybox\n"),
    ("SecretsUsedInArgOrEnv", "FROM busybox\nARG GITHUB_TOKEN\n"),
    ("InvalidDefaultArgInFrom", "ARG TAG\nFROM busybox:$TAG\n"),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/amd64 busybox\n",
    ),
    ("ExposeProtoCasing", "FROM busybox\nEXPOSE 80/TCP\n"),
    ("ExposeInvalidFormat", "FROM busybox\nEXPOSE 127.0.0.1:80:80\n"),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=InvalidDefinitionDescription\nFROM busybox AS b\n# something else\nARG X=1\n",
    ),
];

#[test]
fn every_check_finds_its_mistake_and_can_be_skipped() {
    let engine = Engine::start();
    for (rule, dockerfile) in CHECKS {
        let check = |text: &str| engine.corten(["build", "--check", "-"]).stdin(text).run();
        let finished = check(dockerfile);
        let warning = format!("\nWARNING: {rule} - ");
        assert!(
            finished.code == 1 && finished.stdout.contains(&warning),
            "{rule}: {finished}"
        );
        let skipping = match dockerfile.strip_prefix("# check=") {
            Some(rest) => format!("# check=skip={rule};{rest}"),
            None => format!("# check=skip={rule}\n{dockerfile}"),
        };
        let finished = check(&skipping);
        assert!(!finished.stdout.contains(&warning), "{rule}: {finished}");
    }
    let folder = context(
        &engine,
        "ignored",
        &[
            ("Dockerfile", "FROM scratch\nCOPY secret /\n"),
            (".dockerignore", "secret\n"),
            ("secret", ""),
        ],
    );
    let finished = engine
        .corten(["build", "--check", &folder])
        .env("BUILDKIT_DOCKERFILE_CHECK", "")
        .run();
    assert!(finished.stdout.contains("WARNING: CopyIgnoredFile"), "{finished}");
}

#[test]
fn a_base_image_for_another_machine_is_warned_of() {
    let engine = engine();
    let image = TestImage::with(&[TestLayer::file("f", "x")], "s390x", Dialect::Oci);
    engine.registry().add_image("library/foreign", "latest", &image);
    let said = |text: &str| {
        let folder = context(&engine, "foreign", &[("Dockerfile", text)]);
        let built = engine
            .corten(["build", "--progress=plain", "-t", "foreign-child", &folder])
            .run();
        assert_eq!(built.code, 0, "{built}");
        built.stderr
    };
    engine
        .corten(["pull", "-q", "--platform", "linux/s390x", "foreign"])
        .ok();
    let warned = said("FROM foreign\nLABEL a=b\n");
    assert!(
        warned.contains("InvalidBaseImagePlatform: Base image foreign was pulled with platform \"linux/s390x\", expected \"linux/amd64\" for current build"),
        "{warned}"
    );
    let skipped = said("# check=skip=InvalidBaseImagePlatform\nFROM foreign\nLABEL a=b\n");
    assert!(!skipped.contains("InvalidBaseImagePlatform"), "{skipped}");
    let good = said("FROM busybox\nLABEL a=b\n");
    assert!(!good.contains("InvalidBaseImagePlatform"), "{good}");
}
