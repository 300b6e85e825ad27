# %% [markdown]
# # Write a Dagster component
#
# The platform is three components, which [a project of your own](../components.md) can use. Yours
# stands beside them: here one that writes a table of densities of a folder of results. It needs
# `pip install 'hoverfast-platform[platform]'`. Before, in the same folder, run
# [the first tutorial](tutorial-segment-a-folder.md).

# %%
import csv
from pathlib import Path

import dagster as dg

from hoverfast_platform.storage.summary import SegmentationSummary

# %% [markdown]
# A component is a class. Its fields are its attributes in YAML, and its `build_defs` makes assets,
# checks and sensors. The assets stay thin: what they do is a call of the engine.


# %%
class DensityTable(dg.Component, dg.Model, dg.Resolvable):
    """A table of nuclei per mm2 of every slide in a folder of results."""

    results: str
    table: str = "densities.csv"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        @dg.asset(group_name="reports", kinds={"csv"})
        def density_table() -> dg.MaterializeResult:
            """Nuclei per mm2, slide by slide."""
            summaries = {
                path.name.removesuffix(".summary.json"): SegmentationSummary.read(path)
                for path in sorted(Path(self.results).glob("*.summary.json"))
            }
            with Path(self.table).open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["slide", "n_nuclei", "nuclei_per_mm2"])
                for slide, summary in summaries.items():
                    rows.writerow([slide, summary.n_nuclei, summary.nuclei_per_mm2])
            return dg.MaterializeResult(metadata={"n_slides": len(summaries)})

        return dg.Definitions(assets=[density_table])


# %% [markdown]
# In a project of `dg` the class lies in a module, and `defs/densities/defs.yaml` names it with
# `type: my_project.DensityTable` and `attributes: {results: results}`. To try it no project is
# needed:

# %%
context = dg.ComponentTree.for_test().load_context
definitions = DensityTable(results="results").build_defs(context)
done = dg.materialize(list(definitions.assets or []))
assert done.success
print(Path("densities.csv").read_text())
