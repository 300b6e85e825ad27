// Imports hoverfast's nuclei into the images of a QuPath project (0.4 and later).
//
// Script editor: set the folder below, then Run > Run for project. A project of one image works
// too. Run twice: nuclei of the first run are replaced, not doubled.
def resultsDir = "/path/to/results"

import qupath.lib.common.GeneralTools
import qupath.lib.io.PathIO

def imageName = getCurrentServer().getMetadata().getName()
// QuPath takes .ome.tif for one ending, hoverfast takes off .tif alone.
def stems = [imageName.contains(".") ? imageName[0..<imageName.lastIndexOf(".")] : imageName,
             GeneralTools.getNameWithoutExtension(new File(imageName))].unique()
def candidates = stems.collectMany { stem -> [
    new File(resultsDir, stem + ".qupath.zip"),
    new File(resultsDir, stem + ".json.gz"),
    new File(resultsDir + "/json", stem + ".json.gz") // of infer_roi
] }
def file = candidates.find { it.isFile() }
if (file == null) {
    println "${imageName}: none of ${candidates*.getName()} in ${resultsDir}"
    return
}

def nuclei = PathIO.readObjects(file.toPath())
def ids = nuclei.collect { it.getID() } as Set
def earlier = getDetectionObjects().findAll { it.getID() in ids }
getCurrentHierarchy().removeObjects(earlier, true)
addObjects(nuclei)
resolveHierarchy()
println "${imageName}: ${nuclei.size()} nuclei from ${file.getName()}, ${earlier.size()} replaced"

// A zip says in its entry manifest how many nuclei it holds; QuPath skips a damaged piece silently.
if (file.getName().endsWith(".zip")) {
    def zip = new java.util.zip.ZipFile(file)
    def manifest = new groovy.json.JsonSlurper().parse(zip.getInputStream(zip.getEntry("manifest")))
    zip.close()
    if (manifest.n_nuclei != nuclei.size())
        println "WARNING: the manifest says ${manifest.n_nuclei} nuclei"
}
