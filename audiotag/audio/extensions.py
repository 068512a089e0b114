"""How a recording is recognised in a folder: by its suffix, or, without one, by its first bytes."""

# Suffixes that FFmpeg's demuxers list, except those of pictures, subtitles, texts, playlists, raw
# video, samples without a header (their rate is unknown), and those mostly used for other files.
FFMPEG = (
    "302 3g2 3gp 722 aa aa3 aac aax ac3 ac4 acm act adp adx aea afc aix ape apc apm aptx aptxhd ast"
    " avi avr bcstm bfstm binka bmv bonk brstm c2 cdata dav daud dfpwm dss dtk dts dtshd dv eac3"
    " ec3 f4v fap flac flv fsb fwse g722 g723_1 g728 g729 genh gsm gxf hca iamf ifv ircam isma ismv"
    " ivr kux laf lc3 lvf m2a m4a m4b m4v mca mk3d mka mkv mlp mmf mods moflex mov mp2 mp3 mp4 mpa"
    " mpc msbc msf mtaf musx mvi mxf mxg nist nut nuv ogg oma omg osq paf pdv psp pvf qoa rco rka"
    " rsd rso sbc sdns sdr2 sds sdx sf sga shn sln son sph svag tak tco thd tta ty ty+ usm vag viv"
    " vqe vqf vql wa way webm wsd xmd xvag yop"
).split()
# Suffixes of files that FFmpeg recognises only by their first bytes.
OTHERS = (
    "16sv 3ga 8svx adts aif aifc aiff alac amb ambix amr amv asf au awb bw64 bwf caf dff divx dsf"
    " dvr-ms f4a f4b insv m2t m2ts m4p m4r mp1 mpeg mpg mpga mts nsv oga ogv ogx opus qcp qt ra"
    " rf64 rm rmvb snd sox spx svx tod vob voc w64 wav wave weba wma wmv wtv wv wve xwma"
).split()
AUDIO_EXTENSIONS = frozenset(f".{suffix}" for suffix in FFMPEG + OTHERS)

HEAD = 16  # bytes that tell what a file is
MARKS = (
    *(b"fLaC", b"OggS", b"ID3", b"caff", b".snd", b"#!AMR", b"wvpk", b"MAC ", b"TTA1", b"MPCK"),
    *(b"MP+", b"DSD ", b"FRM8", b"riff\x2e\x91\xcf\x11", b"NIST_1A", b"Creative Voice"),
    *(b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # Matroska, ASF
)
CHUNKED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
CHUNKED_KINDS = (b"WAVE", b"AIFF", b"AIFC", b"AVI ")
MP4_BRANDS = (b"M4A ", b"M4B ", b"M4V ", b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"3gp")
LAYER_3 = (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)  # second byte of a frame, by MPEG version


def is_recording(head: bytes) -> bool:
    """Whether a file with these first bytes is a recording, as far as they show."""
    if head.startswith(MARKS):
        return True
    if head.startswith(CHUNKED):
        return head[8:12] in CHUNKED_KINDS
    if head[4:8] == b"ftyp":
        return head[8:].startswith(MP4_BRANDS)
    if len(head) < 4 or head[0] != 0xFF or head[1] not in LAYER_3:
        return False
    return head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3  # bit rate, sample rate
