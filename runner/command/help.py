"""What `runner COMMAND --help` says of the commands whose arguments are config choices."""

from runner.command.table import COMMANDS
from runner.config_folders import all_folders, group_descriptions, option_files

HELP = """\
runner {command} [KEY=VALUE ...] - {summary}

{examples}

groups and their options (runner options GROUP shows the keys):
{groups}

flags: {flags}--cfg job shows the composed config, --info how it came about;
--config-dir DIR adds a folder of your own configs; --hydra-help lists the rest."""

FLAGS = {
    "train": """\
-m runs every combination of values; --dry-run builds everything, shows the network and writes nothing;
--like RUN [CHANGES] begins from what was said for an old run; """,
    "sweep": "",
    "check": """\
--list names the checks; --only data,loss and --skip cost choose; --profile writes a trace for Perfetto;
""",
}


EXAMPLES = {
    "train": """\
Choose an option of any group, change any key of the chosen ones:
  runner train model=mlp optimizer=momentum optimizer.lr=0.1
  runner train reg=[l2,dropout] reg.dropout.p=0.3
  runner train -m optimizer=sgd,adam seed=1,2""",
    "check": """\
The line of runner train, before it is trained. Exit status 4 if something is wrong:
  runner check
  runner check data=folder data.root=photos model=resnet optimizer=momentum
  runner check --only lr,overfit optimizer=adam optimizer.lr=1e-2""",
    "sweep": """\
As runner train, with ranges for some of the keys, or a space from the group sweep:
  runner sweep sweep=lr_l2 model=mlp
  runner sweep optimizer.lr='loguniform(1e-5,1e-1)' reg=l2 reg.l2.strength='loguniform(1e-6,1e-1)'
  runner sweep optimizer=sgd,adam optimizer.lr='loguniform(1e-5,1)' sweep.num_workers=2
Ranges: uniform(a,b), loguniform(a,b), randint(a,b), and a,b,c for choices; with more words tag(WORDS,interval(a,b)):
log, zero_or for 0 as well, one_minus for momenta, hard for never widened. runner resume FOLDER continues a sweep.""",
}


def command_help(command: str) -> str:
    """The help of that command, with all groups and their options."""
    groups = dict(group_descriptions(all_folders()))
    if command != "sweep":
        groups.pop("sweep")
    width = max(map(len, groups))
    lines = (f"  {group:<{width}}  {' '.join(option_files(group))}" for group in groups)
    text = {"summary": COMMANDS[command].summary, "examples": EXAMPLES[command], "flags": FLAGS[command]}
    return HELP.format(command=command, groups="\n".join(lines), **text)
