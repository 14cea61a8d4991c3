# The package logger for a Tcl that has no tcllib: the commands of tcllib's logger 0.9, execution traces aside.
#
# A service is a namespace ::logger::tree::NAME, its children those inside it. Its commands are aliases to the procedures here;
# what scripts replace, stdoutcmd and the <level>cmd, stands there by itself. The version is an unstable one on purpose:
# [package require] takes any tcllib that is there before this.

package require Tcl 8.6-

namespace eval ::logger {
    variable levels {debug info notice warn error critical alert emergency}
    variable services {}
    variable enabled debug     ;# the level of new services
    namespace eval tree {}
    namespace export init enable disable services servicecmd import
}

# ::logger::init --
#
#   Make a service, and those above it that are not there yet.
#
# Arguments:
#   service  its name; "a::b" is a child of "a"
#
# Results:
#   The namespace that holds its commands.
#
proc ::logger::init {service} {
    variable levels
    variable services
    variable enabled
    if {[string trim $service :] eq ""} {
        return -code error -errorcode {LOGGER EMPTY_SERVICENAME} "Service name invalid. May not consist only of : or be empty"
    }
    lappend services $service
    set home ::logger::tree::$service
    Furnish $home $service
    set above [namespace parent $home]
    if {$above eq "::logger::tree"} {
        foreach level [list {*}$levels trace] {
            LogWith $home $level [list ${home}::stdoutcmd $level]
            set ${home}::lvlcmds($level) ${home}::${level}cmd
        }
        Setlevel $home $enabled
        return $home
    }
    if {![info exists ${above}::enabled]} {
        init [string range $above [string length ::logger::tree::] end]
    }
    foreach level $levels {
        interp alias {} ${home}::${level}cmd {} ${above}::${level}cmd -_logger::service $service
    }
    Setlevel $home [set ${above}::enabled]
    return $home
}

# ::logger::Furnish --
#
#   Give a service its variables, and its commands but for those of the levels.
#
proc ::logger::Furnish {home service} {
    variable levels
    variable enabled
    namespace eval $home {
        variable lvlcmds
        array set lvlcmds {}
    }
    foreach {name value} [list service $service levels $levels enabled $enabled delcallback ${home}::no-op \
        levelchangecallback ${home}::no-op] {
        set ${home}::$name $value
    }
    foreach {name implementation} {
        setlevel Setlevel enable Enable disable Disable currentloglevel Currentloglevel lvlchangeproc Lvlchangeproc
        logproc Logproc delproc Delproc delete Delete services Children servicename Servicename trace Trace
    } {
        interp alias {} ${home}::$name {} ::logger::$implementation $home
    }
    proc ${home}::no-op {args} {}
    proc ${home}::stdoutcmd {level text} {
        variable service
        puts "\[[clock format [clock seconds]]\] \[$service\] \[$level\] '$text'"
    }
    proc ${home}::stderrcmd {level text} {
        variable service
        puts stderr "\[[clock format [clock seconds]]\] \[$service\] \[$level\] '$text'"
    }
}

# ::logger::LogWith --
#
#   Make the command of a level call a command prefix with the text.
#
proc ::logger::LogWith {home level prefix} {
    # tclint-disable-next-line command-args
    proc ${home}::${level}cmd {args} [format {::logger::Emit %s %s $args} [list $home] [list $prefix]]
}

# ::logger::Emit --
#
#   Log a text. One that comes from a child is logged in the child's name, which then stands before it.
#
proc ::logger::Emit {home prefix words} {
    set own [set ${home}::service]
    while {[llength $words] > 1 && [lindex $words 0] eq "-_logger::service"} {
        set ${home}::service [lindex $words 1]
        set words [lrange $words 2 end]
    }
    try {
        return [{*}$prefix [Text $words]]
    } finally {
        if {[namespace exists $home]} {
            set ${home}::service $own
        }
    }
}

# ::logger::Text --
#
#   Return the words given to a level's command as a text: one is the text, several are a list.
#
proc ::logger::Text {words} {
    if {[llength $words] == 1} {
        return [lindex $words 0]
    }
    return $words
}

# ::logger::Index --
#
#   Return where a level stands among the levels. Raises an error for one that is none, as one of the calling command.
#
proc ::logger::Index {level} {
    variable levels
    set index [lsearch -exact $levels $level]
    if {$index < 0} {
        return -code error -level 2 -errorcode {LOGGER INVALID_LEVEL} "Invalid level '$level' - levels are $levels"
    }
    return $index
}

# ::logger::Switch --
#
#   Switch levels on or off.
#
proc ::logger::Switch {home on names} {
    foreach name $names {
        interp alias {} ${home}::$name {} ${home}::[expr {$on ? "${name}cmd" : "no-op"}]
    }
}

# ::logger::Inside --
#
#   Return the services directly inside another.
#
proc ::logger::Inside {home} {
    set found {}
    foreach child [namespace children $home] {
        if {[info exists ${child}::enabled]} {
            lappend found $child
        }
    }
    return $found
}

# ::logger::Setlevel --
#
#   Log a level and all above it, and nothing below it, in a service and those inside it.
#
proc ::logger::Setlevel {home level} {
    variable levels
    set index [Index $level]
    set before [set ${home}::enabled]
    Switch $home 0 [lrange $levels 0 $index-1]
    Switch $home 1 [lrange $levels $index end]
    set ${home}::enabled $level
    foreach child [Inside $home] {
        ${child}::setlevel $level
    }
    Changed $home $before $level
    return
}

# ::logger::Enable --
#
#   Log a level and all above it as well.
#
# Results:
#   The lowest level that is logged.
#
proc ::logger::Enable {home level {recursion 1}} {
    variable levels
    set index [Index $level]
    set before [set ${home}::enabled]
    set at [lsearch -exact $levels $before]
    set after [expr {$at < 0 || $at > $index ? $level : $before}]
    Switch $home 1 [lrange $levels $index end]
    if {$recursion} {
        foreach child [Inside $home] {
            ${child}::enable $level
        }
    }
    Changed $home $before $after
    return [set ${home}::enabled $after]
}

# ::logger::Disable --
#
#   Do not log a level, nor any below it.
#
# Results:
#   The lowest level that is logged; "none" when there is none.
#
proc ::logger::Disable {home level {recursion 1}} {
    variable levels
    set index [Index $level]
    set before [set ${home}::enabled]
    set at [lsearch -exact $levels $before]
    set after $before
    if {$at >= 0 && $at <= $index} {
        set after [lindex [list {*}$levels none] $index+1]
    }
    Switch $home 0 [lrange $levels 0 $index]
    if {$recursion} {
        foreach child [Inside $home] {
            ${child}::disable $level
        }
    }
    Changed $home $before $after
    return [set ${home}::enabled $after]
}

# ::logger::Changed --
#
#   Tell the script's callback that the level is another one.
#
proc ::logger::Changed {home before after} {
    set prefix [set ${home}::levelchangecallback]
    if {$before ne $after && [Exists $prefix]} {
        # tclint-disable-next-line command-args
        catch {namespace inscope :: $prefix $before $after}
    }
}

# ::logger::Exists --
#
#   Tell whether there is a command that a prefix begins with.
#
proc ::logger::Exists {prefix} {
    # tclint-disable-next-line command-args
    return [expr {[namespace inscope :: namespace which -command [lindex $prefix 0]] ne ""}]
}

# ::logger::Currentloglevel, Servicename, Children --
#
#   The level, the name, and the names of the services below.
#
proc ::logger::Currentloglevel {home} {
    return [set ${home}::enabled]
}
proc ::logger::Servicename {home} {
    return [set ${home}::service]
}
proc ::logger::Children {home} {
    variable services
    return [lsearch -all -inline $services "[set ${home}::service]::*"]
}

# ::logger::Lvlchangeproc, Delproc --
#
#   Set or return the command to call when the level changes, and when the service is deleted.
#
proc ::logger::Lvlchangeproc {home args} {
    return [Callback ${home}::levelchangecallback lvlchangeproc $args]
}
proc ::logger::Delproc {home args} {
    return [Callback ${home}::delcallback delproc $args]
}

# ::logger::Callback --
#
#   Set or return a command kept in a variable.
#
proc ::logger::Callback {variable name words} {
    if {[llength $words] == 0} {
        return [set $variable]
    }
    if {[llength $words] > 1} {
        return -code error -level 2 -errorcode {LOGGER WRONG_NUM_ARGS} "Wrong # of arguments. Usage: \${log}::$name ?cmd?"
    }
    set prefix [lindex $words 0]
    if {![Exists $prefix]} {
        return -code error -level 2 -errorcode {LOGGER INVALID_CMD} "Invalid cmd '$prefix' - does not exist"
    }
    set $variable $prefix
}

# ::logger::Logproc --
#
#   Set or return what logs a level.
#
# Arguments:
#   home   the service
#   level  the level, or "trace"
#   args   nothing; a command to call with the text; or the name of an argument and a body
#
proc ::logger::Logproc {home level args} {
    variable levels
    if {$level ne "trace"} {
        Index $level
    }
    switch -- [llength $args] {
        0 {
            return [set ${home}::lvlcmds($level)]
        }
        1 {
            set command [lindex $args 0]
            if {$command eq "${home}::${level}cmd"} {
                return
            }
            # tclint-disable-next-line command-args
            set found [namespace inscope $home namespace which -command $command]
            if {$found eq ""} {
                return -code error -errorcode {LOGGER INVALID_CMD} "Invalid cmd '$command' - does not exist"
            }
            # It runs in the frame of whoever logs.
            # tclint-disable-next-line command-args
            proc ${home}::${level}cmd {args} [format {tailcall %s [::logger::Text $args]} [list $found]]
            set ${home}::lvlcmds($level) $command
        }
        2 {
            lassign $args argument body
            # tclint-disable-next-line command-args
            proc ${home}::${level}customcmd $argument $body
            LogWith $home $level [list ${home}::${level}customcmd]
            set ${home}::lvlcmds($level) ${home}::${level}customcmd
        }
        default {
            return -code error -errorcode {LOGGER WRONG_USAGE} \
                "Usage: \${log}::logproc level ?cmd?\nor \${log}::logproc level argname body"
        }
    }
}

# ::logger::Delete --
#
#   Forget a service and those inside it.
#
proc ::logger::Delete {home} {
    variable services
    foreach child [Inside $home] {
        ${child}::delete
    }
    set prefix [set ${home}::delcallback]
    if {[Exists $prefix]} {
        # tclint-disable-next-line command-args
        namespace inscope :: $prefix
    }
    set index [lsearch -exact $services [set ${home}::service]]
    if {$index >= 0} {
        set services [lreplace $services $index $index]
    }
    namespace delete $home
}

# ::logger::Trace --
#
#   Say that this logger has no execution traces.
#
proc ::logger::Trace {home args} {
    return -code error "this logger comes with pysmtpd and has no execution traces; tcllib's has them"
}

# ::logger::services, levels, servicecmd --
#
#   All services; all levels; the namespace of a service.
#
proc ::logger::services {} {
    variable services
    return $services
}
proc ::logger::levels {} {
    variable levels
    return $levels
}
proc ::logger::servicecmd {service} {
    variable services
    if {$service ni $services} {
        return -code error -errorcode {LOGGER NO_SUCH_SERVICE} "Service \"$service\" does not exist."
    }
    return ::logger::tree::$service
}

# ::logger::enable, disable, setlevel --
#
#   The same for all services; setlevel for new ones, too.
#
proc ::logger::enable {lv} {
    variable services
    foreach service $services {
        ::logger::tree::${service}::enable $lv
    }
}
proc ::logger::disable {lv} {
    variable services
    foreach service $services {
        ::logger::tree::${service}::disable $lv
    }
}
proc ::logger::setlevel {lv} {
    variable services
    variable enabled
    Index $lv
    set enabled $lv
    foreach service $services {
        ::logger::tree::${service}::setlevel $lv
    }
}

# ::logger::import --
#
#   Make the commands of a service commands of a namespace.
#
# Arguments:
#   args   ?-all? ?-force? ?-prefix prefix? ?-namespace namespace? service
#
proc ::logger::import {args} {
    set usage {logger::import ?-all? ?-force? ?-prefix prefix? ?-namespace namespace? service}
    if {![llength $args] || [llength $args] > 7} {
        return -code error -errorcode {LOGGER WRONG_NUM_ARGS} "Wrong # of arguments: \"$usage\""
    }
    array set given [list -all 0 -force 0 -prefix {} -namespace {}]
    set service [lindex $args end]
    set options [lrange $args 0 end-1]
    while {[llength $options]} {
        set options [lassign $options option]
        switch -- $option {
            -all - -force {
                set given($option) 1
            }
            -prefix - -namespace {
                set options [lassign $options given($option)]
            }
            default {
                return -code error -errorcode {LOGGER UNKNOWN_ARG} "Unknown argument: \"$option\" :\nUsage: \"$usage\""
            }
        }
    }
    set source [servicecmd $service]
    set target $given(-namespace)
    if {![string match ::* $target]} {
        set target [string trimright [uplevel 1 [list namespace current]] :]::$target
    }
    set target [string trimright $target :]
    if {![namespace exists ${target}::]} {
        namespace eval ${target}:: {}
    }
    Link $source ${target}::$given(-prefix) $given(-all) $given(-force)
}

# ::logger::Link --
#
#   Make commands that are aliases to those of a service.
#
proc ::logger::Link {source target all force} {
    set names [list {*}[levels] trace]
    if {$all} {
        lappend names setlevel enable disable logproc delproc services servicename currentloglevel delete
    }
    foreach name $names {
        if {!$force && [info commands $target$name] ne ""} {
            return -code error -level 2 -errorcode {LOGGER IMPORT_NAME_EXISTS} \
                "can't import command \"$target$name\": already exists"
        }
    }
    foreach name $names {
        interp alias {} $target$name {} ${source}::$name
    }
}

# ::logger::initNamespace --
#
#   Make a service for a namespace, and its commands those of the namespace "log" in there.
#
# Arguments:
#   ns     the namespace
#   level  its level; else that of the service above, or warn
#
proc ::logger::initNamespace {ns {level {}}} {
    set service [string trimleft $ns :]
    set above [string trimleft [namespace qualifiers $service] :]
    if {$level eq "" && ($above eq "" || ![namespace exists ::logger::tree::$above])} {
        set level warn
    }
    set home [init $service]
    import -force -all -namespace ::${service}::log $service
    if {$level ne ""} {
        ${home}::setlevel $level
    }
}

package provide logger 0.9.4.1a0
