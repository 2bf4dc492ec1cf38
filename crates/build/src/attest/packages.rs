//! What is in an image: a list of packages as SPDX 2.3 (spdx.github.io/spdx-spec/v2.3), made of the databases of dpkg
//! and apk. Nothing of the image is run for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use corten_oci::digest::Digest;
use corten_store::{Access, Predicate};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::copyright;
use crate::builder::Shared;
use crate::error::{Error, Result};
use crate::output::Product;
use crate::roots::Root;
use crate::work::Work;

/// The most bytes of a package database.
const MOST: u64 = 64 << 20;

/// A package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    architecture: String,
    /// An expression of SPDX, when the database has one.
    license: String,
    supplier: String,
    /// `deb` or `apk`.
    kind: &'static str,
}

/// The statement about a product.
pub(super) fn predicate(shared: &Shared<'_>, product: &Product) -> Result<Predicate> {
    let work = Work::new(shared.store, &product.config.rootfs.diff_ids)?;
    let root = work.open(Access::ReadOnly)?;
    let packages = packages(&root);
    let distribution = distribution(
        &text(&root, "etc/os-release")
            .or_else(|| text(&root, "usr/lib/os-release"))
            .unwrap_or_default(),
    );
    let document = document(&packages, &distribution, &product.id);
    let text = serde_json::to_string(&document).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Predicate {
        kind: "https://spdx.dev/Document".to_owned(),
        text,
    })
}

fn packages(root: &Root) -> Vec<Package> {
    let mut found = Vec::new();
    if let Some(status) = text(root, "var/lib/dpkg/status") {
        found.extend(dpkg(&status).into_iter().map(|package| {
            Package {
                license: text(root, &format!("usr/share/doc/{}/copyright", package.name))
                    .map(|text| copyright::expression(&text))
                    .unwrap_or_default(),
                ..package
            }
        }));
    }
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        if let Some(installed) = text(root, path) {
            found.extend(apk(&installed));
            break;
        }
    }
    found
}

fn text(root: &Root, path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    root.file(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `ID` of os-release.
fn distribution(text: &str) -> String {
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    id.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

/// The stanzas of `/var/lib/dpkg/status` whose packages are installed.
fn dpkg(text: &str) -> Vec<Package> {
    let stanza = |stanza: &str| {
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        for line in stanza.lines().filter(|line| !line.starts_with([' ', '\t'])) {
            if let Some((name, value)) = line.split_once(':') {
                fields.insert(name, value.trim());
            }
        }
        let field = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        let is_there = field("Status").ends_with(" installed") && !field("Package").is_empty();
        is_there.then(|| Package {
            name: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            supplier: field("Maintainer"),
            license: String::new(),
            kind: "deb",
        })
    };
    text.split("\n\n").filter_map(stanza).collect()
}

/// The records of `/lib/apk/db/installed`.
fn apk(text: &str) -> Vec<Package> {
    let record = |record: &str| {
        let mut package = Package {
            kind: "apk",
            ..Package::default()
        };
        for line in record.lines() {
            match line.split_once(':') {
                Some(("P", value)) => value.clone_into(&mut package.name),
                Some(("V", value)) => value.clone_into(&mut package.version),
                Some(("A", value)) => value.clone_into(&mut package.architecture),
                Some(("L", value)) => value.clone_into(&mut package.license),
                Some(("m", value)) => value.clone_into(&mut package.supplier),
                _ => {}
            }
        }
        (!package.name.is_empty()).then_some(package)
    };
    text.split("\n\n").filter_map(record).collect()
}

fn document(packages: &[Package], distribution: &str, image: &Digest) -> Value {
    let mut listed: Vec<Value> = Vec::new();
    let mut relations: Vec<Value> = Vec::new();
    listed.push(json!({
        "SPDXID": "SPDXRef-Image",
        "name": image.as_str(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
    }));
    relations.push(json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": "SPDXRef-Image",
    }));
    for (number, package) in packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}-{number}", package.kind);
        let license = match package.license.as_str() {
            "" => "NOASSERTION",
            license => license,
        };
        let mut one = json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": license,
            "copyrightText": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": locator(package, distribution),
            }],
        });
        if !package.supplier.is_empty() {
            one["supplier"] = Value::from(format!("Organization: {}", package.supplier));
        }
        listed.push(one);
        relations.push(json!({
            "spdxElementId": "SPDXRef-Image",
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        }));
    }
    let others: BTreeSet<&str> = packages
        .iter()
        .flat_map(|package| copyright::references(&package.license))
        .collect();
    let others = others.iter().map(|id| {
        let name = id.trim_start_matches(copyright::OTHER);
        json!({"licenseId": id, "name": name, "extractedText": "NOASSERTION"})
    });
    json!({
        "hasExtractedLicensingInfos": others.collect::<Vec<_>>(),
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image.as_str(),
        "documentNamespace": format!("urn:corten:sbom:{}", image.hex()),
        "creationInfo": {
            "created": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "creators": [format!("Tool: corten-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": listed,
        "relationships": relations,
    })
}

/// The package-url.
fn locator(package: &Package, distribution: &str) -> String {
    let escape = |text: &str| {
        text.replace('%', "%25")
            .replace('+', "%2B")
            .replace(':', "%3A")
            .replace('/', "%2F")
    };
    let place = match distribution {
        "" => String::new(),
        distribution => format!("{}/", escape(distribution)),
    };
    let Package {
        kind,
        name,
        version,
        architecture,
        ..
    } = package;
    format!(
        "pkg:{kind}/{place}{}@{}?arch={architecture}",
        escape(name),
        escape(version)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_read() {
        let status = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u8\nArchitecture: amd64\n\
                      Description: x\n Version: no\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let found = dpkg(status);
        assert_eq!((found.len(), found[0].name.as_str()), (1, "libc6"));
        assert_eq!(
            locator(&found[0], "debian"),
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u8?arch=amd64"
        );
        let installed = "C:x\nP:musl\nV:1.2.4-r1\nA:x86_64\nL:MIT\n\nP:zlib\nV:1.3\nA:x86_64\nL:Zlib\n";
        let found = apk(installed);
        assert_eq!((found.len(), found[0].license.as_str()), (2, "MIT"));
        let document = document(&found, "alpine", &Digest::sha256(b"x"));
        assert_eq!(document["packages"][1]["licenseDeclared"], "MIT");
        assert_eq!(document["relationships"].as_array().map(Vec::len), Some(3));
    }
}
