"""Formats that FFmpeg may read: those whose files contain their sound.

Not allowed are scripts and playlists, which name files and addresses to open (concat, dash, hls,
imf, sdp, webm_dash_manifest), sequences of files (image2, mlv, vobsub), devices, synthesizers
(lavfi, sbg), and formats without sound: pictures, subtitles, text, and video without a container.

Names are those of FFmpeg 4 to 8; a name that an FFmpeg does not know has no effect.
"""

CONTAINERS = frozenset(
    "3gp 4xm aiff asf asf_o avi caf dv flv gxf ivr kux live_flv matroska mov mpeg mpegts mxf nsv"
    " nut nuv ogg pmp pva rm swf ty w64 wav webm wtv".split()
)
SOUND = frozenset(
    "aa aac ac3 ac4 act aea amr amrnb amrwb apac ape aptx aptx_hd au avr bit bonk codec2 daud"
    " dfpwm dsf dss dts dtshd eac3 epaf flac g722 g723_1 g726 g726le g728 g729 gsm hcom iamf iff"
    " ilbc ircam laf lc3 loas lvf mca mlp mmf mp3 mpc mpc8 nistsphere nsp oma osq paf pvf qcp qoa"
    " rka rso s337m sbc sds sdx shn sln sox spdif tak truehd tta voc vqf wavarc wsd"
    " wv wve xwma".split()
)
# Formats without a header; files are recognised by their suffix.
PCM = frozenset(
    "alaw f32be f32le f64be f64le mulaw s16be s16le s24be s24le s32be s32le s8 u16be u16le u24be"
    " u24le u32be u32le u8 vidc".split()
)
GAMES = frozenset(
    "3dostr aax ace acm adp ads adx afc aix alp apc apm argo_asf argo_brp argo_cvg ast avs"
    " bethsoftvid bfi bfstm bink binka bmv boa brstm c93 cdxl dcstr derf dsicin dxa ea ea_cdata"
    " film_cpk fsb fwse gdv genh hca idcin ipmovie iss jv kvag mgsts mm mods moflex msf mtaf musx"
    " mvi pp_bnk psxstr redspark rl2 roq rpl rsd scd sdns sdr2 sga siff smk smush sol svag svs thp"
    " tiertexseq tmv usm vag vmd vpk wady wc3movie wsaud wsvqa xa xmd xmv xvag yop".split()
)
CAMERAS = frozenset("dhav hxvs ifv lmlm4 luodat lxf mtv mv mxg r3d smjpeg vividas vivo".split())
ALLOWED = CONTAINERS | SOUND | PCM | GAMES | CAMERAS
