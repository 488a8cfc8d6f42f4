"""The first screen of help, written by hand so that nothing need be imported for it; ``--help.all`` has all options."""

__all__ = ["ALL_HELP", "SHORT_HELP"]

#: Arguments that ask for every option.
ALL_HELP = ("--help.all", "--help_all")

_DATA = """\
data
  --data NAME                  VOC21, VOC20, Context60, Context59, COCOObject, COCOStuff, COCOStuff10k, ADE20K,
                               Cityscapes, Demo (drawn here, needs no files), or ImageFolder for your own
  --data.root FOLDER           where it lies; the environment variable SCLIP_DATA_ROOT otherwise
  --data.num_samples N         only the first N images"""

_PARTS = """\
parts
  --config FILE                baseline.yaml, phase1.yaml, demo.yaml, data/voc21.yaml, ... or a file of yours; later
                               ones lie over earlier ones
  --method NAME                a published method: its parts and its numbers; short for --config NAME.yaml
  --protocol NAME              evaluate as this method's authors do; the method's own otherwise
  --model.architecture NAME    of open_clip, ViT-B-16-quickgelu by default; demo is the small one of this package
  --model.weights NAME         a tag of open_clip (openai by default), a file, or demo
  --model.decoder.attention A  vanilla, maskclip, sclip, clearclip, naclip or segearth
  --model.decoder.rcs true     ResCLIP's residual attention;  --model.decoder.sfr true: its semantic feedback
  --model.upsampler LoftUp     a finer grid; also NAF, AnyUp;  null: none
  --config densecrf.yaml       refine with DenseCRF, pamr.yaml with PAMR;  --model.refiners null: with nothing
  --model.crop N               side of the window, 0 for whole images;  --model.stride N: from one to the next"""

_RUN = """\
run
  --output_dir FOLDER          results land in FOLDER/BENCHMARK/NAME; lightning_logs by default
  --name NAME                  of the run's folder; made of the configurations' names by default
  --resume, --overwrite        insist on going on; start afresh. A run that is there goes on in any case
  --trainer.accelerator A      cpu, gpu or auto;  --trainer.devices N;  --trainer.precision auto
  --predictions.labels true    keep label maps, which sclip compare --panels needs;  --save_vis: overlays
  --data.on_error skip         pass over images that cannot be read or scored"""

_MORE = "--help.all lists every option. An option's values may also stand in a configuration, as in configs/*.yaml."

#: By command.
SHORT_HELP = {
    "test": f"""\
usage: sclip test [--config FILE ...] [options]

Segment a benchmark and score the result.
  sclip test --config demo.yaml                                needs nothing
  sclip test --method naclip --data VOC21 --data.root FOLDER   a published method on a benchmark

{_DATA}

{_PARTS}

{_RUN}

{_MORE}
""",
    "ablate": f"""\
usage: sclip ablate --config FILE [options]

Test a configuration part by part: one run for the baseline, one for each part, and a table with intervals.
  sclip ablate --config demo.yaml                              needs nothing

rows
  --beside FILE ...            one more row for each: this configuration laid over the baseline

{_DATA}

{_PARTS}

{_RUN}

{_MORE}
""",
    "vocabularies": f"""\
usage: sclip vocabularies --config FILE [options]

Test a method under several class files, with images' features computed once: a run for each, and what names alone do.
  sclip vocabularies --config demo.yaml                        needs nothing
  --class_files FILE ...       published, plain (the data set's own names), distractors (these, and 64 words for scenes
                               in the background), files of yours; the first is what others are compared with

{_DATA}

{_PARTS}

{_RUN}

{_MORE}
""",
    "reproduce": """\
usage: sclip reproduce [-h] METHOD ... | demo | --all [--data NAME ...] [options]

Run published rows again under their authors' protocol, and hold the scores against the published figures. Says first
what is missing for any of them. Each row is a run of sclip test in a process of its own; given again, the command goes
on where it ended. It needs the benchmarks' data, and fetches published weights where they are not in the cache.
  sclip reproduce demo                                         needs nothing
  sclip reproduce naclip --data VOC21 --data.root FOLDER       a published row
  sclip reproduce --all --check --data.root FOLDER             what is missing for all of them

rows
  METHOD                       a published method; its rows are all figures that a run can be held against
  --all                        every row of every method; what fails or is missing is left out, and named at the end
  --data NAME ...              only rows on these benchmarks (VOC21, ...); nothing is run if one of them lacks something
  --figures WORDS ...          only lists of figures with these words in their title: readme, PAMR, ...
  --check                      say what is missing and what would be run, and run nothing

data and run
  --data.root FOLDER           with the benchmarks' folders in it; the environment variable SCLIP_DATA_ROOT otherwise
  --data.regions FOLDER        segment maps, for methods that read some
  --output_dir FOLDER          runs land in FOLDER/BENCHMARK/NAME, what can be sent of them in FOLDER/reproduced
  --trainer.devices N          and every other option of sclip test. Those that change the model, its weights, the class
                               names or the number of images make another experiment, which the result says

Exits with 1 where a row is missing, failed, or came to another figure.
""",
    "predict": f"""\
usage: sclip predict --images FILE|FOLDER ... --classes NAMES [options]

Segment your own images into your own classes. Writes, per image, a label map, the image under its labels with a legend,
and the share of every class.
  sclip predict --images photos --classes "cat, grass=lawn|meadow, sky"

images and classes
  --images PATH ...            files and folders;  --recursive: subfolders, too
  --classes NAMES              split by commas, synonyms by = and |; a class file; or a benchmark (VOC21)
  --background                 a class 0 for whatever is none of the classes: without it every pixel goes to the best
                               of them, however badly that fits;  auto: of words that are not near any of them
  --short_side N               resize images so that their short side has N pixels; 336 by default
  --refine_side N              refine maps of larger images at a short side of N pixels; 1024 by default, 0: never
  --on_error skip              pass over images that cannot be read or segmented

{_PARTS}

run
  --output_dir FOLDER          predictions by default. The same command again goes on where it ended; a folder of other
                               settings or images is refused.  --overwrite: start afresh
  --device D                   auto, cpu or cuda;  --precision 32-true: not in bfloat16, where that is faster
  --devices N                  share the images among N processes, one a device
  --export [coco,polygons]     for annotation tools: run-length masks, outlines in GeoJSON's form

{_MORE}
""",
    "app": f"""\
usage: sclip app [--config FILE ...] [options]

Open a page in the browser: drop an image, type classes, and look at what is where. Needs: pip install -e ".[app]"
  sclip app --config demo.yaml                                 needs no download: drawn scenes
  sclip app --method naclip                                    downloads CLIP once, and then needs no network either

page
  --host ADDRESS               127.0.0.1 by default, which no other machine can reach;  --port N: 7860 or the next free
  --open_browser               open it in the browser of this machine
  --classes NAMES              what stands in the box at the start
  --background auto            what a background is made of once it is asked for: as for predict
  --max_megapixels N           of an image, 16 by default;  --max_megabytes N: of an uploaded file, 32 by default
  --memory GIB                 of features that are kept while you change words and numbers; 2 by default
  --short_side N               resize images so that their short side has N pixels; 336 by default

{_PARTS}

run
  --device D                   auto, cpu or cuda;  --precision 32-true: not in bfloat16, where that is faster

{_MORE}
""",
    "score": f"""\
usage: sclip score --predictions FOLDER --data NAME [options]

Score label maps that any method wrote.
  --predictions FOLDER         one PNG per image, IMAGE ID.png, with class indices at the size of the ground truth
  --missing skip               score only the images that have one
  --output_dir FOLDER          results land in FOLDER/BENCHMARK/NAME; lightning_logs by default
  --name NAME                  of the run's folder; score by default
  --config FILE                a configuration with a data section

{_DATA}

{_MORE}
""",
    "check-data": f"""\
usage: sclip check-data --data NAME [options]

Check a data set's files before anything is computed: every image and mask of the split. Needs neither GPU nor weights.
Exits with 1 where something is wrong.
  --limit N                    only the first N samples;  --subset: it is a part of the published split on purpose
  --show N                     most files to name for each kind of problem; 10 by default, 0 for all
  --config FILE                that of a run will do: only its data section counts;  --method NAME: likewise

{_DATA}

{_MORE}
""",
    "make-regions": f"""\
usage: sclip make-regions --images FILE|FOLDER ... | --data NAME [options]

Make segment maps: which segment each pixel of an image belongs to, whatever it shows. Writes STEM.npz for each image,
as CorrCLIP's authors publish theirs, and masks.json, which says what made them. Needs: pip install -e ".[regions]"
  sclip make-regions --data Demo                               needs no weights

images
  --images PATH ...            files and folders;  --recursive: subfolders, too
  --data NAME                  instead: the split of a benchmark (VOC21, Demo, ...);  --data.root FOLDER: where it lies
  --on_error skip              pass over images that cannot be read

makers
  --maker Felzenszwalb         segments of like colours, the default;  --maker.scale N: larger ones
  --maker SLIC                 superpixels of about one size;  --maker.segments N: about so many
  --maker SAM                  SAM or SAM 2;  --maker.model NAME: of the Hugging Face Hub, or a folder
  --maker.points_per_side N    of SAM: the grid of points;  --maker.order small_on_top: small masks cover larger ones

run
  --output_dir FOLDER          region_masks by default. The same command again goes on where it ended; a folder of other
                               settings is refused.  --overwrite: start afresh
  --device D                   of SAM: auto, cpu or cuda;  --devices N: share the images among N processes

{_MORE}
""",
}
