// Exports everything of the open image for `hoverfast corrections` (QuPath 0.4 and later).
def outputDir = "/path/to/corrections"

import qupath.lib.common.GeneralTools

mkdirs(outputDir)
def stem = GeneralTools.getNameWithoutExtension(new File(getCurrentServer().getMetadata().getName()))
def path = buildFilePath(outputDir, stem + ".geojson")
exportAllObjectsToGeoJson(path, "FEATURE_COLLECTION")
println "Exported to ${path}"
