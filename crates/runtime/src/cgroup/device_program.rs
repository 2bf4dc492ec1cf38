//! A device policy as a program of extended BPF, for cgroup v2 (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! The program goes through the exceptions from the last to the first, keeping in a register which of
//! read, write and mknod are still undecided: an allowing rule strikes out its own, a denying one
//! that meets any of them ends in "no". What is left at the end follows the policy's word for all.

use corten_sys::bpf::Instruction;

use super::devices::{Class, Policy, Rule};

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const CLASS: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// `BPF_LDX | BPF_MEM | BPF_W`: loads 32 bits from an address.
const LOAD: u8 = 0x61;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u8 = 0x54;
/// `BPF_ALU | BPF_RSH | BPF_K`.
const SHIFT_RIGHT: u8 = 0x74;
/// `BPF_ALU | BPF_MOV | BPF_X`.
const COPY: u8 = 0xbc;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const SET: u8 = 0xb7;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u8 = 0x15;
/// `BPF_JMP | BPF_JNE | BPF_K`.
const JUMP_UNLESS_EQUAL: u8 = 0x55;
/// `BPF_JMP | BPF_EXIT`.
const EXIT: u8 = 0x95;

/// Translates a policy.
pub(crate) fn program(policy: &Policy) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }, the type in the lower half.
    let mut code = vec![
        load(CLASS, 0),
        with_value(COPY, UNDECIDED, CLASS, 0),
        with_value(AND, CLASS, 0, 0xffff),
        with_value(SHIFT_RIGHT, UNDECIDED, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in policy.rules.iter().rev() {
        append_rule(rule, &mut code);
    }
    append_answer(policy.allow, &mut code);
    code
}

fn append_rule(rule: &Rule, code: &mut Vec<Instruction>) {
    let class = match rule.class {
        Class::Block => 1,
        Class::Character => 2,
    };
    let mut tests = vec![(CLASS, class)];
    tests.extend(rule.major.map(|major| (MAJOR, major)));
    tests.extend(rule.minor.map(|minor| (MINOR, minor)));

    let mut body = Vec::with_capacity(5);
    let access = i32::from(rule.access.0);
    if rule.allow {
        body.push(with_value(AND, UNDECIDED, 0, !access));
        body.push(jump(JUMP_UNLESS_EQUAL, UNDECIDED, 0, 2));
    } else {
        body.push(with_value(COPY, SCRATCH, UNDECIDED, 0));
        body.push(with_value(AND, SCRATCH, 0, access));
        body.push(jump(JUMP_IF_EQUAL, SCRATCH, 0, 2));
    }
    append_answer(rule.allow, &mut body);

    for (index, (register, value)) in tests.iter().enumerate() {
        let distance = tests.len() - index - 1 + body.len();
        code.push(jump(JUMP_UNLESS_EQUAL, *register, *value, distance));
    }
    code.extend(body);
}

fn append_answer(allow: bool, code: &mut Vec<Instruction>) {
    code.push(with_value(SET, RESULT, 0, i32::from(allow)));
    code.push(Instruction {
        code: EXIT,
        ..Instruction::default()
    });
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: LOAD,
        registers: register | CONTEXT << 4,
        offset,
        immediate: 0,
    }
}

fn with_value(code: u8, register: u8, source: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register | source << 4,
        offset: 0,
        immediate,
    }
}

fn jump(code: u8, register: u8, value: u32, distance: usize) -> Instruction {
    Instruction {
        code,
        registers: register,
        // A rule is at most eight instructions long, and device numbers fit by construction.
        offset: i16::try_from(distance).unwrap_or(0),
        immediate: i32::try_from(value).unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::devices::tests::{any_rule, judge};
    use super::*;

    /// Runs the few instructions that are used, as the kernel would.
    fn run(code: &[Instruction], context: [u32; 3]) -> u64 {
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let step = code[at];
            let offset = || usize::try_from(step.offset).unwrap();
            let target = usize::from(step.registers & 15);
            let source = registers[usize::from(step.registers >> 4)];
            let value = i64::from(step.immediate).cast_unsigned();
            at += 1;
            match step.code {
                LOAD => registers[target] = u64::from(context[offset() / 4]),
                AND => registers[target] = (registers[target] & value) & 0xffff_ffff,
                SHIFT_RIGHT => registers[target] = (registers[target] & 0xffff_ffff) >> value,
                COPY => registers[target] = source & 0xffff_ffff,
                SET => registers[target] = value,
                JUMP_IF_EQUAL if registers[target] == value => at += offset(),
                JUMP_UNLESS_EQUAL if registers[target] != value => at += offset(),
                JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0],
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    proptest! {
        #[test]
        fn decides_as_the_rules_say(
            allow: bool, rules in proptest::collection::vec(any_rule(), 0..8),
            block: bool, major in 0_u32..4, minor in 0_u32..4, access in 1_u8..8,
        ) {
            let class = if block { Class::Block } else { Class::Character };
            let policy = Policy { allow, rules };
            let kind = if block { 1 } else { 2 };
            let answer = run(&program(&policy), [u32::from(access) << 16 | kind, major, minor]);
            prop_assert_eq!(answer == 1, judge(allow, &policy.rules, class, major, minor, access));
        }
    }
}
