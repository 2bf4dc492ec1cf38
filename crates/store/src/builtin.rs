//! The image that needs no registry: `hello-world`, whose only program is made here, byte by byte.

use std::collections::BTreeMap;

use corten_oci::digest::Digest;
use corten_oci::image::{ContainerConfig, Descriptor, History, ImageConfig, Manifest, RootFs, media_type};
use corten_oci::reference::Reference;

use crate::error::{Error, Result};
use crate::images::{ImageId, NewImage, StoredDocument};
use crate::store::Store;
use crate::tar::{Time, Writer};

/// The only built-in image's full name.
const NAME: &str = "docker.io/library/hello-world:latest";

/// 2026-01-01T00:00:00Z, so that the image is the same everywhere.
const CREATED: &str = "2026-01-01T00:00:00Z";
const CREATED_SECONDS: i64 = 1_767_225_600;

/// What it says.
const GREETING: &str = "
Hello from Corten!
This message shows that your installation appears to be working correctly.

To generate this message, Corten took the following steps:
 1. The corten command contacted the Corten engine over its socket.
 2. The engine found that it carries the \"hello-world\" image itself, and
    unpacked it; no registry was asked.
 3. The engine made a new container from that image, and its shim started
    the program in it that produces the output you are reading now.
 4. The shim passed that output on, and the command wrote it to your terminal.

To try something more ambitious, you can run a shell in a container with:
 $ corten run -it debian bash

";

impl Store {
    /// Puts a built-in image in under its name and tells its id; `None` if the name is no built-in's.
    ///
    /// # Errors
    /// Internal when the data root cannot be written.
    pub fn builtin(&self, name: &str) -> Result<Option<ImageId>> {
        let Ok(reference) = name.parse::<Reference>() else {
            return Ok(None);
        };
        let reference = reference.or_latest();
        let Some(program) = program(std::env::consts::ARCH).filter(|_| reference.to_string() == NAME) else {
            return Ok(None);
        };
        let tar = layer(&program).map_err(Error::from)?;
        let lease = self.lease();
        let layer = self.layers().from_tar(&lease, &mut &*tar)?;
        let config = to_json(&config(layer.diff_id()))?;
        let manifest = to_json(&manifest(&config, layer.diff_id(), tar.len()))?;
        let document = StoredDocument {
            media_type: media_type::OCI_MANIFEST,
            bytes: &manifest,
        };
        let id = self.images().put(NewImage {
            config: &config,
            documents: &[document],
            parent: None,
        })?;
        self.images().tag(&reference, &id)?;
        Ok(Some(id))
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()))
}

fn layer(program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = Writer::new(Vec::new());
    tar.file(
        "hello",
        0o755,
        Time {
            seconds: CREATED_SECONDS,
            nanoseconds: 0,
        },
        program,
    )?;
    tar.finish()
}

fn config(diff_id: &Digest) -> ImageConfig {
    let platform = corten_oci::platform::Platform::host();
    let step = |created_by: &str, empty_layer| History {
        created: Some(CREATED.into()),
        created_by: created_by.into(),
        empty_layer,
        ..History::default()
    };
    ImageConfig {
        created: Some(CREATED.into()),
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        config: ContainerConfig {
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            cmd: Some(vec!["/hello".into()]),
            working_dir: "/".into(),
            ..ContainerConfig::default()
        },
        rootfs: RootFs {
            diff_ids: vec![diff_id.clone()],
            ..RootFs::default()
        },
        history: vec![step("COPY hello / # built in", false), step("CMD [\"/hello\"]", true)],
        ..ImageConfig::default()
    }
}

fn manifest(config: &[u8], layer: &Digest, layer_size: usize) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: String::new(),
        config: Descriptor::new(media_type::OCI_CONFIG, Digest::sha256(config), config.len() as u64),
        layers: vec![Descriptor::new(media_type::OCI_LAYER, layer.clone(), layer_size as u64)],
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// Where the program is loaded, and how long the headers before its code are.
const BASE: u32 = 0x40_0000;
const HEADERS: u32 = 64 + 56;

/// A static ELF program that writes the greeting and exits with 0, for a processor in Rust's words.
fn program(architecture: &str) -> Option<Vec<u8>> {
    let (machine, code) = match architecture {
        "x86_64" => (62, x86_64()),
        "aarch64" => (183, aarch64()),
        _ => return None,
    };
    Some(
        [
            elf_headers(machine, code.len() + GREETING.len()),
            code,
            GREETING.as_bytes().to_vec(),
        ]
        .concat(),
    )
}

fn greeting_length() -> u32 {
    u32::try_from(GREETING.len()).unwrap_or(0)
}

/// `write(1, greeting, length)`; `exit(0)`. Intel SDM vol. 2, and the x86-64 system call table.
fn x86_64() -> Vec<u8> {
    const LENGTH: u32 = 5 + 5 + 5 + 5 + 2 + 5 + 2 + 2;
    let mut code = Vec::new();
    let mut load = |opcode: u8, value: u32| {
        code.push(opcode);
        code.extend_from_slice(&value.to_le_bytes());
    };
    load(0xb8, 1); // mov eax, SYS_write
    load(0xbf, 1); // mov edi, stdout
    load(0xbe, BASE + HEADERS + LENGTH); // mov esi, greeting
    load(0xba, greeting_length()); // mov edx, length
    code.extend_from_slice(&[0x0f, 0x05]); // syscall
    code.extend_from_slice(&[0xb8, 60, 0, 0, 0]); // mov eax, SYS_exit
    code.extend_from_slice(&[0x31, 0xff, 0x0f, 0x05]); // xor edi, edi; syscall
    code
}

/// The same for Arm. Arm ARM, C6.2: MOVZ, ADR and SVC.
fn aarch64() -> Vec<u8> {
    const INSTRUCTIONS: u32 = 8;
    let movz = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let adr = |register: u32, distance: u32| 0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5 | register;
    let call = 0xd400_0001;
    let code = [
        movz(0, 1),
        adr(1, (INSTRUCTIONS - 1) * 4),
        movz(2, greeting_length()),
        movz(8, 64),
        call,
        movz(0, 0),
        movz(8, 93),
        call,
    ];
    code.iter().flat_map(|instruction| instruction.to_le_bytes()).collect()
}

/// The ELF header and one program header: all of the file, readable and executable. elf(5).
fn elf_headers(machine: u16, length: usize) -> Vec<u8> {
    let base = u64::from(BASE);
    let headers = u64::from(HEADERS);
    let size = headers + length as u64;
    let mut elf = Vec::new();
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend_from_slice(&2_u16.to_le_bytes()); // executable
    elf.extend_from_slice(&machine.to_le_bytes());
    elf.extend_from_slice(&1_u32.to_le_bytes());
    elf.extend_from_slice(&(base + headers).to_le_bytes()); // entry
    elf.extend_from_slice(&64_u64.to_le_bytes()); // program headers
    elf.extend_from_slice(&0_u64.to_le_bytes()); // no sections
    elf.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend_from_slice(&half.to_le_bytes());
    }
    elf.extend_from_slice(&1_u32.to_le_bytes()); // PT_LOAD
    elf.extend_from_slice(&5_u32.to_le_bytes()); // read, execute
    for word in [0, base, base, size, size, 0x1000] {
        elf.extend_from_slice(&word.to_le_bytes());
    }
    elf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_tiny_and_whole() {
        for architecture in ["x86_64", "aarch64"] {
            let program = program(architecture).expect("supported");
            assert!(program.len() < 2048);
            assert_eq!(u32::try_from(elf_headers(62, 0).len()).expect("small"), HEADERS);
            assert!(program.ends_with(GREETING.as_bytes()));
        }
        assert_eq!(x86_64().len(), 31);
        assert_eq!(aarch64().len(), 32);
        assert!(program("m68k").is_none());
    }
}
