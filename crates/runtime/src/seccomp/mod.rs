//! Filters of system calls (seccomp(2); config-linux.md "Seccomp").
//!
//! [`compile`] turns a configuration into a [`Program`] of classic BPF, which is a value that can be
//! kept as bytes, and [`Program::install`] gives it to the calling thread for good. The program first
//! tells the instruction set, then finds the call by binary search over runs of calls treated alike,
//! then looks at arguments where a rule has conditions. (Linux 5.11 and later remembers which calls
//! are allowed whatever their arguments, and doesn't run the program for them.)

mod arch;
mod assembler;
mod rules;
mod tables;

use std::collections::BTreeMap;
use std::io;

use corten_oci::runtime::{Seccomp, SeccompOperator};
use corten_sys::seccomp::{self, Instruction};

use self::arch::{Arch, X32_BIT};
use self::assembler::{Assembler, Label, Test};
use self::rules::{Condition, Rules, Treatment, Verdict};
use crate::error::{Error, Kind, Result};

/// Where the call's number stands in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Where the instruction set's audit word stands.
const AUDIT: u32 = 4;
/// Where the arguments begin, 64 bits each, the lower half first on the processors we know.
const ARGUMENTS: u32 = 16;
/// What a kept program begins with; the last byte is the format's number.
const MAGIC: [u8; 8] = *b"cortbpf\x01";

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

/// Compiles a configuration.
///
/// The machine's own instruction set is always included. A call from one that is not, such as a
/// 32-bit program's where only 64 bits are listed, kills the process.
///
/// # Errors
/// `Unsupported` for `SCMP_ACT_NOTIFY`; `Invalid` for unknown words and numbers, and for a program
/// longer than the kernel takes (4096 instructions).
pub fn compile(spec: &Seccomp) -> Result<Program> {
    let flags = flags(spec)?;
    let instructions = assemble(&resolve(spec, Arch::NATIVE)?);
    if instructions.len() > seccomp::MAX_INSTRUCTIONS {
        let message = format!(
            "the seccomp profile is too long: {} instructions of at most {}",
            instructions.len(),
            seccomp::MAX_INSTRUCTIONS
        );
        return Err(Error::new(Kind::Invalid, message));
    }
    Ok(Program { instructions, flags })
}

impl Program {
    /// Installs the filter for the calling thread and its children, for good.
    ///
    /// Without `no_new_privs` it takes `CAP_SYS_ADMIN`, so then it goes before capabilities are
    /// dropped, and what follows must be allowed by the filter.
    ///
    /// # Errors
    /// `EACCES` without that capability, `EINVAL` when the kernel lacks a flag.
    pub fn install(&self) -> io::Result<()> {
        seccomp::set_filter(&self.instructions, self.flags)
    }

    /// The program as bytes, for [`Program::from_bytes`] on the same kind of machine.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + 8 * self.instructions.len());
        bytes.extend(MAGIC);
        bytes.extend(self.flags.to_le_bytes());
        for instruction in &self.instructions {
            bytes.extend(instruction.code.to_le_bytes());
            bytes.extend([instruction.jump_true, instruction.jump_false]);
            bytes.extend(instruction.operand.to_le_bytes());
        }
        bytes
    }

    /// Reads a program that was kept. The kernel checks what it does.
    ///
    /// # Errors
    /// `Invalid` for anything but what [`Program::bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let program = bytes.strip_prefix(&MAGIC).and_then(|rest| {
            let (flags, code) = rest.split_first_chunk()?;
            let (chunks, rest) = code.as_chunks::<8>();
            let fits = (1..=seccomp::MAX_INSTRUCTIONS).contains(&chunks.len()) && rest.is_empty();
            fits.then(|| Self {
                instructions: chunks.iter().map(instruction).collect(),
                flags: u32::from_le_bytes(*flags),
            })
        });
        program.ok_or_else(|| Error::new(Kind::Invalid, "these bytes are no seccomp program"))
    }
}

fn instruction(&[code0, code1, jump_true, jump_false, o0, o1, o2, o3]: &[u8; 8]) -> Instruction {
    Instruction {
        code: u16::from_le_bytes([code0, code1]),
        jump_true,
        jump_false,
        operand: u32::from_le_bytes([o0, o1, o2, o3]),
    }
}

/// The flags of seccomp(2). Without any in the configuration speculation is left alone, as runc does:
/// the mitigation that seccomp would switch on costs much and guards little.
fn flags(spec: &Seccomp) -> Result<u32> {
    if spec.flags.is_empty() {
        return Ok(seccomp::FLAG_SPEC_ALLOW);
    }
    spec.flags.iter().try_fold(0, |flags, name| {
        let flag = match name.as_str() {
            "" => 0,
            "SECCOMP_FILTER_FLAG_TSYNC" => seccomp::FLAG_TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => seccomp::FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => seccomp::FLAG_SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => {
                let message = format!("cannot apply the seccomp profile: {name} is not supported");
                return Err(Error::new(Kind::Unsupported, message));
            }
            _ => return Err(Error::new(Kind::Invalid, format!("invalid seccomp flag \"{name}\""))),
        };
        Ok(flags | flag)
    })
}

/// Resolves a configuration for each instruction set in it, the native one first.
fn resolve(spec: &Seccomp, native: Arch) -> Result<Vec<Rules>> {
    let mut arches = vec![native];
    for name in &spec.architectures {
        if let Some(arch) = Arch::parse(name)?.filter(|arch| !arches.contains(arch)) {
            arches.push(arch);
        }
    }
    // Looking names up is most of the work, and one look serves all instruction sets. What no kernel
    // of ours calls by that name is left out.
    let names: Vec<Vec<_>> = spec
        .syscalls
        .iter()
        .map(|rule| rule.names.iter().filter_map(|name| arch::find(name)).collect())
        .collect();
    arches
        .into_iter()
        .map(|arch| Rules::resolve(spec, &names, arch))
        .collect()
}

static KILL: Treatment = Treatment::always(Verdict::KILL_PROCESS);

/// Writes the program, from its end to its beginning.
fn assemble(all: &[Rules]) -> Vec<Instruction> {
    let mut code = Assembler::default();
    let mut entries: BTreeMap<u32, Label> = BTreeMap::new();
    let x32 = all.iter().find(|rules| rules.arch == Arch::X32);
    for rules in all.iter().rev().filter(|rules| rules.arch != Arch::X32) {
        let mut all = runs(rules);
        match (rules.arch, x32) {
            (Arch::X86_64, Some(x32)) => all.extend(runs(x32)),
            // The marked numbers are those of an instruction set that isn't in the filter.
            (Arch::X86_64, None) => all.push((X32_BIT, &KILL)),
            _ => {}
        }
        let search = search(&mut code, &all, rules.arch);
        let entry = code.load(NUMBER, search);
        entries.insert(rules.arch.audit(), entry);
    }
    let mut next = code.answer(Verdict::KILL_PROCESS);
    // The native one is asked for first, so it is written last.
    let native = all.first().map(|rules| rules.arch.audit());
    for (&audit, &entry) in entries.iter().filter(|(audit, _)| Some(**audit) != native) {
        next = code.branch(Test::Equal, audit, entry, next);
    }
    if let Some((audit, entry)) = native.and_then(|audit| Some((audit, *entries.get(&audit)?))) {
        next = code.branch(Test::Equal, audit, entry, next);
    }
    code.load(AUDIT, next);
    code.finish()
}

/// Calls from a number up to the next run's that are treated alike.
type Run<'a> = (u32, &'a Treatment);

/// Splits the numbers of one instruction set into runs.
fn runs(rules: &Rules) -> Vec<Run<'_>> {
    let first = if rules.arch == Arch::X32 { X32_BIT } else { 0 };
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(rules.calls.len());
    let mut free = first;
    for (number, treatment) in &rules.calls {
        if *number > free {
            add(&mut runs, free, &rules.default);
        }
        add(&mut runs, *number, treatment);
        free = number + 1;
    }
    add(&mut runs, free, &rules.newer);
    runs
}

fn add<'a>(runs: &mut Vec<Run<'a>>, start: u32, treatment: &'a Treatment) {
    if runs.last().is_none_or(|(_, last)| *last != treatment) {
        runs.push((start, treatment));
    }
}

/// Writes a binary search over runs and what follows it; returns where it starts.
fn search(code: &mut Assembler, runs: &[Run<'_>], arch: Arch) -> Label {
    let mut chains: Vec<(&Treatment, Label)> = Vec::new();
    for (_, treatment) in runs.iter().filter(|(_, treatment)| !treatment.cases.is_empty()) {
        if !chains.iter().any(|(known, _)| known == treatment) {
            let label = chain(code, treatment, arch);
            chains.push((treatment, label));
        }
    }
    bisect(code, runs, &chains)
}

fn bisect(code: &mut Assembler, runs: &[Run<'_>], chains: &[(&Treatment, Label)]) -> Label {
    match runs {
        [] => code.answer(Verdict::KILL_PROCESS),
        [(_, treatment)] if treatment.cases.is_empty() => code.answer(treatment.otherwise),
        [(_, treatment)] => match chains.iter().find(|(known, _)| known == treatment) {
            Some((_, label)) => *label,
            None => code.answer(treatment.otherwise),
        },
        _ => {
            let (low, high) = runs.split_at(runs.len() / 2);
            let start = high[0].0;
            let high = bisect(code, high, chains);
            let low = bisect(code, low, chains);
            code.branch(Test::GreaterOrEqual, start, high, low)
        }
    }
}

/// Writes the cases of one treatment; returns where they start.
fn chain(code: &mut Assembler, treatment: &Treatment, arch: Arch) -> Label {
    let mut next = code.answer(treatment.otherwise);
    let alike = |one: &Case, other: &Case| {
        one.1 == other.1 && small_equal(one).is_some() && column(one) == column(other) && small_equal(other).is_some()
    };
    for cases in treatment.cases.chunk_by(alike).rev() {
        if cases.len() > 2 {
            let yes = code.answer(cases[0].1);
            next = one_of(code, cases, arch, yes, next);
            continue;
        }
        for (conditions, verdict) in cases.iter().rev() {
            let mut yes = code.answer(*verdict);
            for condition in conditions.iter().rev() {
                yes = compare(code, condition, arch, yes, next);
            }
            next = yes;
        }
    }
    next
}

type Case = (Vec<Condition>, Verdict);

/// The value of a case that compares one argument with a small one, as those of many cases in a row
/// can be looked for together.
fn small_equal((conditions, _): &Case) -> Option<u32> {
    match conditions.as_slice() {
        [only] if only.operator == SeccompOperator::Equal => u32::try_from(only.value).ok(),
        _ => None,
    }
}

fn column((conditions, _): &Case) -> Option<u32> {
    conditions.first().map(|condition| condition.argument)
}

/// Tests whether an argument is one of the cases' values: a binary search over runs of them.
fn one_of(code: &mut Assembler, cases: &[Case], arch: Arch, yes: Label, no: Label) -> Label {
    let mut values: Vec<u32> = cases.iter().filter_map(small_equal).collect();
    values.sort_unstable();
    values.dedup();
    let mut bounds = Vec::with_capacity(2 * values.len());
    for run in values.chunk_by(|one, next| one + 1 == *next) {
        bounds.push((run[0], yes));
        bounds.extend(run[run.len() - 1].checked_add(1).map(|end| (end, no)));
    }
    let Some(condition) = cases[0].0.first() else { return no };
    let inside = between(code, &bounds, no);
    let low = code.load(offset(condition), inside);
    if arch.argument_bits() == 32 {
        return low;
    }
    let high = code.branch(Test::Equal, 0, low, no);
    code.load(offset(condition) + 4, high)
}

/// Goes where the last bound that isn't above the accumulator says.
fn between(code: &mut Assembler, bounds: &[(u32, Label)], below: Label) -> Label {
    let Some((bound, label)) = bounds.get(bounds.len() / 2) else {
        return below;
    };
    let (low, high) = bounds.split_at(bounds.len() / 2);
    let high = between(code, &high[1..], *label);
    let low = between(code, low, below);
    code.branch(Test::GreaterOrEqual, *bound, high, low)
}

/// Writes one comparison; returns where it starts.
fn compare(code: &mut Assembler, condition: &Condition, arch: Arch, yes: Label, no: Label) -> Label {
    match condition.operator {
        SeccompOperator::Equal => equal(code, condition, u64::MAX, condition.value, arch, yes, no),
        SeccompOperator::NotEqual => equal(code, condition, u64::MAX, condition.value, arch, no, yes),
        SeccompOperator::MaskedEqual => equal(code, condition, condition.value, condition.datum, arch, yes, no),
        SeccompOperator::Greater => above(code, condition, Test::Greater, arch, yes, no),
        SeccompOperator::GreaterOrEqual => above(code, condition, Test::GreaterOrEqual, arch, yes, no),
        SeccompOperator::Less => above(code, condition, Test::GreaterOrEqual, arch, no, yes),
        SeccompOperator::LessOrEqual => above(code, condition, Test::Greater, arch, no, yes),
    }
}

/// Tests `argument & mask == value`, one half after the other.
fn equal(
    code: &mut Assembler,
    condition: &Condition,
    mask: u64,
    value: u64,
    arch: Arch,
    yes: Label,
    no: Label,
) -> Label {
    let (mask, value) = (halves(mask), halves(value));
    let mut half = |offset, mask, value, yes| {
        let mut next = code.branch(Test::Equal, value, yes, no);
        if mask != u32::MAX {
            next = code.and(mask, next);
        }
        code.load(offset, next)
    };
    let low = half(offset(condition), mask.1, value.1, yes);
    if arch.argument_bits() == 32 || (mask.0 == 0 && value.0 == 0) {
        return low;
    }
    half(offset(condition) + 4, mask.0, value.0, low)
}

/// Tests `argument > value` or `argument >= value`: the upper half decides unless it is equal.
fn above(code: &mut Assembler, condition: &Condition, test: Test, arch: Arch, yes: Label, no: Label) -> Label {
    let (high, low) = halves(condition.value);
    let branch = code.branch(test, low, yes, no);
    let lower = code.load(offset(condition), branch);
    if arch.argument_bits() == 32 {
        return lower;
    }
    let tie = code.branch(Test::Equal, high, lower, no);
    let branch = code.branch(Test::Greater, high, yes, tie);
    code.load(offset(condition) + 4, branch)
}

fn offset(condition: &Condition) -> u32 {
    ARGUMENTS + 8 * condition.argument
}

/// The upper and the lower 32 bits.
fn halves(value: u64) -> (u32, u32) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = value.to_be_bytes();
    (
        u32::from_be_bytes([b0, b1, b2, b3]),
        u32::from_be_bytes([b4, b5, b6, b7]),
    )
}

#[cfg(test)]
mod tests;
