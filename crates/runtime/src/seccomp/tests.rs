//! Compiled programs against direct judgement, on an interpreter of our own.

use proptest::prelude::*;

use super::*;

/// Runs a program as the kernel would; returns the answer and how many instructions it took.
fn run(code: &[Instruction], audit: u32, number: u32, arguments: &[u64; 6]) -> (u32, usize) {
    let mut words = vec![number, audit, 0, 0];
    for argument in arguments {
        let (high, low) = halves(*argument);
        words.extend([low, high]);
    }
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let step = code[at];
        at += 1;
        steps += 1;
        let skip = |holds| usize::from(if holds { step.jump_true } else { step.jump_false });
        match step.code {
            0x20 => accumulator = words[step.operand as usize / 4],
            0x54 => accumulator &= step.operand,
            0x05 => at += step.operand as usize,
            0x06 => return (step.operand, steps),
            0x15 => at += skip(accumulator == step.operand),
            0x25 => at += skip(accumulator > step.operand),
            0x35 => at += skip(accumulator >= step.operand),
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn profile(json: &str) -> Seccomp {
    serde_json::from_str(json).unwrap()
}

fn check(spec: &Seccomp, native: Arch, number: u32, arch: Arch, arguments: &[u64; 6]) {
    let all = resolve(spec, native).unwrap();
    let code = assemble(&all);
    let expected = expected(&all, arch, number, arguments);
    let (answer, _) = run(&code, arch.audit(), number, arguments);
    assert_eq!(Verdict(answer), expected, "{arch:?} {number} {arguments:x?}");
}

/// What the rules say, told by audit word and marked numbers as the kernel does.
fn expected(all: &[Rules], arch: Arch, number: u32, arguments: &[u64; 6]) -> Verdict {
    let arch = match arch {
        Arch::X86_64 | Arch::X32 if number >= X32_BIT => Arch::X32,
        Arch::X86_64 | Arch::X32 => Arch::X86_64,
        other => other,
    };
    let rules = all.iter().find(|rules| rules.arch == arch);
    rules.map_or(Verdict::KILL_PROCESS, |rules| rules.judge(number, arguments))
}

#[test]
fn every_call_of_every_instruction_set_under_the_default_profile() {
    for (native, architecture) in [(Arch::X86_64, "amd64"), (Arch::Aarch64, "arm64")] {
        for capabilities in [&corten_oci::capability::DEFAULT[..], &corten_oci::capability::ALL[..]] {
            let target = corten_oci::seccomp::Target {
                capabilities,
                architecture,
                kernel: (6, 1),
            };
            let spec = corten_oci::seccomp::default_profile(&target);
            let all = resolve(&spec, native).unwrap();
            let code = assemble(&all);
            assert!(code.len() < 1200, "{} instructions", code.len());
            for arch in Arch::ALL {
                let base = if arch == Arch::X32 { X32_BIT } else { 0 };
                let width = if arch.argument_bits() == 32 {
                    u64::from(u32::MAX)
                } else {
                    u64::MAX
                };
                for number in (base..base + 700).chain([0x000f_0002, 0x000f_0005, X32_BIT - 1, u32::MAX]) {
                    for first in [0, 1, 8, 16, 38, 40, 0x0002_0008, 0x1000_0000, 0xffff_ffff, 1 << 40] {
                        let arguments = [first & width, 0, 0, 0, 0, 0];
                        let (answer, _) = run(&code, arch.audit(), number, &arguments);
                        assert_eq!(
                            Verdict(answer),
                            expected(&all, arch, number, &arguments),
                            "{arch:?} {number} {first:#x}"
                        );
                    }
                }
            }
            // Where the kernel keeps no bitmap, a plain call passes in a dozen instructions.
            let (_, steps) = run(&code, native.audit(), native.number("read").unwrap(), &[0; 6]);
            assert!(steps <= 14, "{steps} instructions for read");
        }
    }
}

#[test]
fn unlisted_instruction_sets_are_killed() {
    let spec = profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    for (arch, number, verdict) in [
        (Arch::X86_64, 1, Verdict::ALLOW),
        (Arch::X86_64, X32_BIT | 1, Verdict::KILL_PROCESS),
        (Arch::X86, 1, Verdict::KILL_PROCESS),
        (Arch::Arm, 1, Verdict::KILL_PROCESS),
    ] {
        let code = assemble(&resolve(&spec, Arch::X86_64).unwrap());
        assert_eq!(
            Verdict(run(&code, arch.audit(), number, &[0; 6]).0),
            verdict,
            "{arch:?}"
        );
    }
}

#[test]
fn newer_calls_are_unknown_rather_than_forbidden() {
    let spec = profile(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[{"names":["read","openat2"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    let code = assemble(&resolve(&spec, Arch::X86_64).unwrap());
    let answer = |number| run(&code, Arch::X86_64.audit(), number, &[0; 6]).0;
    assert_eq!(
        [answer(0), answer(1), answer(437), answer(438)],
        [0x7fff_0000, 0x0005_0001, 0x7fff_0000, 0x0005_0026]
    );
}

#[test]
fn conditions_come_before_a_rule_without_and_repeated_arguments_are_alternatives() {
    let spec = profile(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["ioctl"],"action":"SCMP_ACT_ALLOW"},
            {"names":["ioctl"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[{"index":1,"value":21522,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    let code = assemble(&resolve(&spec, Arch::X86_64).unwrap());
    let answer = |number, arguments| run(&code, Arch::X86_64.audit(), number, &arguments).0;
    assert_eq!(answer(16, [0, 21522, 0, 0, 0, 0]), 0x0005_0005);
    assert_eq!(answer(16, [0, 21523, 0, 0, 0, 0]), 0x7fff_0000);
    assert_eq!(
        [1, 2, 3].map(|family| answer(41, [family, 0, 0, 0, 0, 0])),
        [0x7fff_0000, 0x7fff_0000, 0x0005_0001]
    );
}

#[test]
fn refuses_what_cannot_be() {
    let check = |json: &str, kind: Kind| {
        assert_eq!(compile(&profile(json)).unwrap_err().kind(), kind, "{json}");
    };
    check(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, Kind::Unsupported);
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
        Kind::Invalid,
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}"#,
        Kind::Invalid,
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}"#,
        Kind::Invalid,
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_X"]}"#,
        Kind::Invalid,
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_TRAP","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
        Kind::Invalid,
    );
}

#[test]
fn bytes_come_back() {
    let spec = profile(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    let program = compile(&spec).unwrap();
    let bytes = program.bytes();
    assert_eq!(Program::from_bytes(&bytes).unwrap(), program);
    for bad in [&bytes[..bytes.len() - 1], &bytes[1..], &bytes[..12], &[]] {
        assert!(Program::from_bytes(bad).is_err());
    }
}

fn any_argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        Just((1 << 32) + 1),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn any_rule() -> impl Strategy<Value = corten_oci::runtime::SeccompSyscall> {
    use corten_oci::runtime::{SeccompAction, SeccompArg, SeccompOperator as Op, SeccompSyscall};
    let names = prop::collection::vec(
        prop::sample::select(vec!["read", "write", "clone", "openat2", "socket", "mmap", "xyz"]),
        1..4,
    );
    let op = prop::sample::select(vec![
        Op::NotEqual,
        Op::Less,
        Op::LessOrEqual,
        Op::Equal,
        Op::GreaterOrEqual,
        Op::Greater,
        Op::MaskedEqual,
    ]);
    let arg = (0_u32..6, any_argument(), any_argument(), op).prop_map(|(index, value, two, op)| SeccompArg {
        index,
        value,
        value_two: Some(two),
        op,
    });
    let action = prop::sample::select(vec![
        SeccompAction::Allow,
        SeccompAction::Errno,
        SeccompAction::Kill,
        SeccompAction::Trap,
        SeccompAction::Log,
    ]);
    (names, action, prop::collection::vec(arg, 0..4)).prop_map(|(names, action, args)| SeccompSyscall {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret: None,
        args,
    })
}

proptest! {
    #[test]
    fn compiled_is_as_judged(
        rules in prop::collection::vec(any_rule(), 0..40),
        allow: bool, x32: bool, arch in prop::sample::select(Arch::ALL.to_vec()),
        name in prop::sample::select(vec!["read", "write", "clone", "openat2", "socket", "mmap", "close"]),
        arguments in prop::array::uniform6(any_argument()),
    ) {
        let mut spec = profile(r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM","SCMP_ARCH_AARCH64"]}"#);
        if allow {
            spec.default_action = corten_oci::runtime::SeccompAction::Allow;
        }
        if x32 {
            spec.architectures.push("SCMP_ARCH_X32".to_owned());
        }
        spec.syscalls = rules;
        let width = if arch.argument_bits() == 32 { u64::from(u32::MAX) } else { u64::MAX };
        let arguments = arguments.map(|argument| argument & width);
        if let Some(number) = arch.number(name) {
            check(&spec, Arch::X86_64, number, arch, &arguments);
        }
    }
}
