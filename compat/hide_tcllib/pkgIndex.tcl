# Hides tcllib: with this folder on TCLLIBPATH a Tcl has no package of tcllib's, as a Tcl that came without it.
#
# Folders on TCLLIBPATH are read after all others, so that whatever tcllib has put into the index is there to be taken out.

apply {{} {
    foreach name [package names] {
        foreach version [package versions $name] {
            # A package that is loaded already is not to be forgotten: nobody could tell its version any more.
            # tclint-disable-next-line command-args
            if {[package provide $name] eq "" && [string match *tcllib* [package ifneeded $name $version]]} {
                package forget $name
                break
            }
        }
    }
}}
