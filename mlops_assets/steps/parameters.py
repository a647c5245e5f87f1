"""Every section of params.yaml is checked before a run does anything: an error must not come up after a training."""

from typing import TYPE_CHECKING

from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP

if TYPE_CHECKING:
    from mlops_assets.params.validation import ValidationOptions


def refuse_bad_parameters(settings: Settings) -> None:
    """Raise `BadSetting` for the first wrong value."""
    from mlops_assets.params.everything import SECTION_MODELS

    for name, section in SECTION_MODELS.items():
        section.from_params(settings.sections[name])
    validation_options(settings)


def validation_options(settings: Settings) -> "ValidationOptions":
    """The section `validation`, which may name the apps of params.yaml, of APP, and those with stored reviews."""
    from mlops_assets.params.validation import ValidationOptions

    options = ValidationOptions.from_params(settings.sections["validation"])
    stored = {folder.name for folder in (settings.data / "raw").glob("*.*") if folder.is_dir()}
    options.require_apps({*settings.apps, SAMPLE_APP, *stored}, settings.now().date())
    return options
