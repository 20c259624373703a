//! Generates the code of `proto/monitor.proto` (pure Rust, no protoc), and embeds the page.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Third-party files that the page loads: below `static/node_modules`, and as what.
const VENDORED: &[(&str, &str)] = &[
    ("uplot/dist/uPlot.iife.min.js", "vendor/uPlot.iife.min.js"),
    ("uplot/dist/uPlot.min.css", "vendor/uPlot.min.css"),
];

/// Modules that a page or a worker starts with. Each is joined with everything it imports into one
/// file: thirty requests, each known only when the one before it was read, would cost a viewer far
/// away a second.
const ENTRIES: &[&str] = &["app.js", "history_worker.js", "stream_worker.js"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    protobuf_codegen::Codegen::new()
        .pure()
        .include("proto")
        .input("proto/monitor.proto")
        .cargo_out_dir("proto")
        .run_from_script();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    embed(&std::env::current_dir()?.join("static"), &out)
}

/// Writes `assets.rs`: the list of the page's files, each with its hash and a compressed twin.
fn embed(page: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut files = BTreeMap::new();
    if page.is_dir() {
        println!("cargo:rerun-if-changed=static");
        collect(page, "", &mut files)?;
    }
    if page.join("package.json").exists() {
        for (from, to) in VENDORED {
            let path = page.join("node_modules").join(from);
            if !path.exists() {
                return Err("static/node_modules is missing: run 'make setup'".into());
            }
            files.insert((*to).to_owned(), path);
        }
    }
    let compressed = out.join("assets");
    fs::create_dir_all(&compressed)?;
    join_modules(page, &compressed, &mut files)?;
    let mut list = String::from("static ASSETS: &[Asset] = &[\n");
    for (number, (path, file)) in files.iter().enumerate() {
        let bytes = fs::read(file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        let gzip = encoder.finish()?;
        let gzip = if gzip.len() < bytes.len() {
            let twin = compressed.join(format!("{number}.gz"));
            fs::write(&twin, gzip)?;
            format!("Some(include_bytes!({twin:?}))")
        } else {
            "None".to_owned()
        };
        let kind =
            content_type(path).ok_or_else(|| format!("static/{path}: unknown kind of file"))?;
        let etag = format!("\"{:016x}\"", hash(&bytes));
        writeln!(
            list,
            "    Asset {{ path: {path:?}, content_type: {kind:?}, etag: {etag:?}, \
             bytes: include_bytes!({file:?}), gzip: {gzip} }},"
        )?;
    }
    list.push_str("];\n");
    Ok(fs::write(out.join("assets.rs"), list)?)
}

/// Puts joined files in the place of the entries, and takes out what is inside them now.
fn join_modules(
    page: &Path,
    out: &Path,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), Box<dyn Error>> {
    let mut imported = BTreeSet::new();
    for entry in ENTRIES.iter().filter(|entry| page.join(entry).exists()) {
        let (mut text, mut seen) = (String::new(), BTreeSet::new());
        append_module(page, entry, &mut seen, &mut text)?;
        let joined = out.join(entry);
        fs::write(&joined, text)?;
        files.insert((*entry).to_owned(), joined);
        imported.extend(seen);
    }
    files.retain(|path, _| !imported.contains(path) || ENTRIES.contains(&path.as_str()));
    Ok(())
}

/// Appends a module behind what it imports, the order in which a browser runs them. Top-level
/// names are unique over all modules (see `static/app.js`), so they can share one scope.
fn append_module(
    page: &Path,
    name: &str,
    seen: &mut BTreeSet<String>,
    text: &mut String,
) -> Result<(), Box<dyn Error>> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let source = fs::read_to_string(page.join(name)).map_err(|e| format!("static/{name}: {e}"))?;
    let mut body = format!("// {name}\n");
    for (number, line) in source.lines().enumerate() {
        let wrong = |expected: &str| format!("static/{name}:{}: expected {expected}", number + 1);
        if line.starts_with("import ") {
            let from = line.strip_suffix(".js';").and_then(|line| line.split_once("} from './"));
            let (_, import) = from.ok_or_else(|| wrong("import { a, b } from './name.js';"))?;
            append_module(page, &format!("{import}.js"), seen, text)?;
        } else if let Some(declared) = line.strip_prefix("export ") {
            if declared.starts_with("default") || declared.starts_with(['{', '*']) {
                return Err(wrong("export before a const, function or class").into());
            }
            writeln!(body, "{declared}")?;
        } else if !line.trim_start().starts_with("//") {
            // Comments are for readers of the source: prose, and so a fifth of the bytes.
            writeln!(body, "{line}")?;
        }
    }
    text.push_str(&body);
    Ok(())
}

/// Every file that is for browsers: not npm's, not hidden, not the pictures of the README.
fn collect(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| "static/: a name is not UTF-8")?;
        let is_npm =
            name == "node_modules" || (name.starts_with("package") && name.ends_with(".json"));
        if name.starts_with('.') || is_npm || name == "screenshots" {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.insert(path, entry.path());
        }
    }
    Ok(())
}

fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit('.').next()? {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// Tells one content from another; nobody gains by making two that collide.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
