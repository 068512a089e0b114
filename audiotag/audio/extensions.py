"""Suffixes of the files that a folder is searched for."""

AUDIO_EXTENSIONS = frozenset(
    ".wav .wave .bwf .w64 .rf64 .flac .mp3 .mp2 .mpga .ogg .oga .opus .spx .aif .aiff .aifc .au"
    " .snd .caf .m4a .m4b .aac .alac .wma .wv .ape .tta .mpc .ac3 .eac3 .dts .amr .voc .mka .weba"
    " .mp4 .m4v .mov .mkv .webm .avi .wmv .asf .flv .f4v .ogv .3gp .3g2 .mpg .mpeg .mts .m2ts .vob"
    "".split()
)
