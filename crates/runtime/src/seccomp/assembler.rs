//! Classic BPF, written from its end to its beginning.
//!
//! Jumps go forward only, and conditional ones by 255 instructions at most. Written backwards, every
//! target is known when a jump to it is made, and where one is too far a long jump is put between.

use std::collections::HashMap;

use corten_sys::seccomp::Instruction;

use super::rules::Verdict;

/// `BPF_LD | BPF_W | BPF_ABS`: loads 32 bits of `struct seccomp_data`.
const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;
/// How far a conditional jump may go, leaving room for the long jumps put before it.
const NEAR: usize = 250;

/// A comparison of the accumulator with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
}

impl Test {
    fn code(self) -> u16 {
        match self {
            Self::Equal => 0x15,
            Self::Greater => 0x25,
            Self::GreaterOrEqual => 0x35,
        }
    }
}

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program that grows at its beginning.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The last instruction first.
    reversed: Vec<Instruction>,
    /// The nearest place that answers each verdict.
    returns: HashMap<Verdict, Label>,
}

impl Assembler {
    /// The finished program, and where everything was written to.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, code: u16, operand: u32) -> Label {
        self.reversed.push(Instruction {
            code,
            operand,
            ..Instruction::default()
        });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions an instruction written now skips to get to a place.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to.0
    }

    /// A place that answers, within reach of a conditional jump.
    pub(super) fn answer(&mut self, verdict: Verdict) -> Label {
        match self.returns.get(&verdict) {
            Some(&label) if self.distance(label) < NEAR => label,
            _ => {
                let label = self.push(RETURN, verdict.0);
                self.returns.insert(verdict, label);
                label
            }
        }
    }

    /// Makes sure that a place is within reach of the next conditional jump.
    fn near(&mut self, label: Label) -> Label {
        let distance = self.distance(label);
        if distance < NEAR {
            return label;
        }
        self.push(JUMP, u32::try_from(distance).unwrap_or(u32::MAX))
    }

    /// Goes to one place or another.
    pub(super) fn branch(&mut self, test: Test, value: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        // `near` leaves a margin, so both fit; a jump past the end would be refused by the kernel.
        let skip = |label| u8::try_from(self.distance(label)).unwrap_or(u8::MAX);
        let instruction = Instruction {
            code: test.code(),
            jump_true: skip(yes),
            jump_false: skip(no),
            operand: value,
        };
        self.reversed.push(instruction);
        Label(self.reversed.len() - 1)
    }

    /// Loads a word of `struct seccomp_data` and goes on at a place.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.go_on(next);
        self.push(LOAD, offset)
    }

    /// Masks the accumulator and goes on at a place.
    pub(super) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.go_on(next);
        self.push(AND, mask)
    }

    /// Makes the next instruction be followed by a place.
    fn go_on(&mut self, next: Label) {
        let distance = self.distance(next);
        if distance > 0 {
            self.push(JUMP, u32::try_from(distance).unwrap_or(u32::MAX));
        }
    }
}
