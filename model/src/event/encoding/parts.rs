//! What events are made of, each with the bytes it is written as. One list of fields serves both directions, so that
//! they cannot drift apart.

use crate::encoding::{Decoder, Encoder, Malformed};
use crate::event::{Blame, Change, MissReason, Stream};
use crate::{BuildId, Exit, OciDigest, StageId, StepDigest, StepId, Usage, WorkerId};

/// A value with a written form.
pub(super) trait Written: Sized {
    /// Appends the value.
    fn write(&self, encoder: &mut Encoder);

    /// Reads what [`Written::write`] appended.
    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed>;
}

/// An enum: a number in one byte, then the variant's fields in the order given here. Numbers that are only read come last,
/// each with what reads its fields.
macro_rules! tagged {
    ($name:ident, $unknown:literal; $(
        $tag:literal => $variant:ident $({ $($field:ident),+ })? $(($only:ident))?,
    )+ $(old: $($old:literal => $read:expr,)+)?) => {
        impl Written for $name {
            fn write(&self, encoder: &mut Encoder) {
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($only))? => {
                        encoder.u8($tag);
                        $($($field.write(encoder);)+)?
                        $($only.write(encoder);)?
                    })+
                }
            }

            fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
                let unknown = decoder.malformed($unknown);
                match decoder.u8()? {
                    $($tag => {
                        $($(let $field = Written::read(decoder)?;)+)?
                        $(let $only = Written::read(decoder)?;)?
                        Ok(Self::$variant $({ $($field),+ })? $(($only))?)
                    })+
                    $($($old => $read(decoder),)+)?
                    _ => Err(unknown),
                }
            }
        }
    };
}

/// A struct: its fields in the order given here.
macro_rules! fields {
    ($name:ident { $($field:ident),+ }) => {
        impl Written for $name {
            fn write(&self, encoder: &mut Encoder) {
                let Self { $($field),+ } = self;
                $($field.write(encoder);)+
            }

            fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
                $(let $field = Written::read(decoder)?;)+
                Ok(Self { $($field),+ })
            }
        }
    };
}

/// A type that is nothing but its bytes, always as many.
macro_rules! raw {
    ($($name:ident),+) => {
        $(impl Written for $name {
            fn write(&self, encoder: &mut Encoder) {
                encoder.raw(&self.0);
            }

            fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
                decoder.array().map(Self)
            }
        })+
    };
}

pub(super) use {fields, tagged};

raw!(BuildId, OciDigest, StepDigest);
fields! { StepId { stage, index } }
fields! { Usage { wall_micros, cpu_micros, peak_memory } }

tagged! {
    Stream, "the stream is not known here";
    0 => Stdout,
    1 => Stderr,
}

tagged! {
    Blame, "whose move it is is not known here";
    0 => Usage,
    1 => Build,
    2 => Environment,
    3 => Internal,
}

tagged! {
    Change, "the kind of change is not known here";
    0 => Added,
    1 => Removed,
    2 => Modified,
}

tagged! {
    MissReason, "the reason of a miss is not known here";
    0 => New,
    1 => Disabled,
    2 => Lost,
    3 => Instruction { before, after },
    4 => Variable { name, change },
    5 => Files { origin, first, change, changed, total },
    6 => Parent { step, first },
    7 => Base { image, before, after },
    8 => Setting { name, before, after },
}

impl Written for Exit {
    fn write(&self, encoder: &mut Encoder) {
        match self {
            Self::Code(code) => encoder.u8(0).u8(*code),
            Self::Signal(signal) => encoder.u8(1).u8(*signal),
            Self::OutOfMemory => encoder.u8(2),
            Self::TimedOut => encoder.u8(3),
        };
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let unknown = decoder.malformed("how a process ended is not known here");
        match decoder.u8()? {
            0 => decoder.u8().map(Self::Code),
            1 => decoder.u8().map(Self::Signal),
            2 => Ok(Self::OutOfMemory),
            3 => Ok(Self::TimedOut),
            _ => Err(unknown),
        }
    }
}

impl Written for StageId {
    fn write(&self, encoder: &mut Encoder) {
        encoder.u32(self.0);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        decoder.u32().map(Self)
    }
}

impl Written for WorkerId {
    fn write(&self, encoder: &mut Encoder) {
        encoder.str(&self.0);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        String::read(decoder).map(Self)
    }
}

macro_rules! number {
    ($($name:ident),+) => {
        $(impl Written for $name {
            fn write(&self, encoder: &mut Encoder) {
                encoder.$name(*self);
            }

            fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
                decoder.$name()
            }
        })+
    };
}

number!(u32, u64, i64);

impl Written for bool {
    fn write(&self, encoder: &mut Encoder) {
        encoder.u8(u8::from(*self));
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let unknown = decoder.malformed("a truth value is neither 0 nor 1");
        match decoder.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(unknown),
        }
    }
}

impl Written for String {
    fn write(&self, encoder: &mut Encoder) {
        encoder.str(self);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        decoder.str().map(str::to_owned)
    }
}

impl Written for Vec<u8> {
    fn write(&self, encoder: &mut Encoder) {
        encoder.bytes(self);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        decoder.bytes().map(<[u8]>::to_vec)
    }
}

impl<T: Written> Written for Option<T> {
    fn write(&self, encoder: &mut Encoder) {
        encoder.option(self.as_ref(), |encoder, value| value.write(encoder));
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        decoder.option(T::read)
    }
}

impl<T: Written> Written for Vec<T> {
    fn write(&self, encoder: &mut Encoder) {
        encoder.list(self, |encoder, item| item.write(encoder));
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        decoder.list(T::read)
    }
}

impl<A: Written, B: Written> Written for (A, B) {
    fn write(&self, encoder: &mut Encoder) {
        self.0.write(encoder);
        self.1.write(encoder);
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok((A::read(decoder)?, B::read(decoder)?))
    }
}
