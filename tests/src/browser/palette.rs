//! Pictures of a few kilobytes: with a palette of the colours that a page has most of.

use std::collections::HashMap;
use std::io::Cursor;

use anyhow::{Context as _, ensure};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Transformations};

/// How many colours a palette has.
const COLOURS: usize = 256;

type Colour = [u8; 3];

/// The same picture with the 256 most frequent colours, and the nearest of them for the others, which
/// are the edges of letters.
pub(super) fn with_palette(picture: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut decoder = Decoder::new(Cursor::new(picture));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("it is too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let channels = info.color_type.samples();
    ensure!(channels >= 3, "{:?}", info.color_type);
    let colours = || pixels.chunks_exact(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]);

    let mut frequency: HashMap<Colour, usize> = HashMap::new();
    for colour in colours() {
        *frequency.entry(colour).or_default() += 1;
    }
    let mut palette: Vec<Colour> = frequency.keys().copied().collect();
    palette.sort_by_key(|colour| (std::cmp::Reverse(frequency[colour]), *colour));
    palette.truncate(COLOURS);
    let index = |colour: &Colour| {
        let nearest = palette.iter().enumerate().min_by_key(|(_, known)| distance(known, colour));
        Ok((*colour, u8::try_from(nearest.context("a palette has colours")?.0)?))
    };
    let indices: HashMap<Colour, u8> =
        frequency.keys().map(index).collect::<anyhow::Result<_>>()?;
    let data: Vec<u8> = colours().map(|colour| indices[&colour]).collect();

    let mut written = Vec::new();
    let mut encoder = Encoder::new(&mut written, info.width, info.height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(&data)?;
    Ok(written)
}

fn distance(one: &Colour, other: &Colour) -> u32 {
    one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other)).pow(2)).sum()
}
